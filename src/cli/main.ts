#!/usr/bin/env node
/** `wattgrad`: the command line program. Each command is a file in commands/. */
import { Command, CommanderError } from "commander";
import { reasonOf } from "../formats/file.js";
import { benchCommand } from "./commands/bench.js";
import { chatCommand } from "./commands/chat.js";
import { embedCommand } from "./commands/embed.js";
import { evalCommand } from "./commands/eval.js";
import { generateCommand } from "./commands/generate.js";
import { infoCommand } from "./commands/info.js";
import { planCommand } from "./commands/plan.js";
import { playgroundCommand } from "./commands/playground.js";
import { quantizeCommand } from "./commands/quantize.js";
import { recipeCommand } from "./commands/recipe.js";
import { runCommand } from "./commands/run.js";
import { tourCommand } from "./commands/tour.js";
import { trainCommand } from "./commands/train.js";
import { DifferenceError, exitCodeHelp, exitCodes, InterruptedError, lineOf, UsageError } from "./exit.js";
import { packageVersion } from "./package.js";

const examples = `
Examples:
  wattgrad tour                             train, quantize, run on every device, write a report
  wattgrad train                            train a small CNN on the shipped MNIST images
  wattgrad train --data mnist --out cnn.safetensors
  wattgrad eval models/mnist-cnn.safetensors
  wattgrad quantize models/mnist-cnn.safetensors --scheme int8-static --out int8.safetensors
  wattgrad generate models/smollm2 --chat --prompt "What is the capital of France?"
  wattgrad chat models/smollm2
  wattgrad embed models/minilm "A man is eating food." "A cheetah chases its prey."
  wattgrad run fill-mask models/bert "The capital of France is [MASK]."
  wattgrad info
  wattgrad bench --where node,chromium
  wattgrad plan --params 175e9 --tokens 300e9
  wattgrad playground --open`;

function program(): Command {
  const root = new Command("wattgrad")
    .description("Train and run neural networks: WebAssembly SIMD on the CPU, WebGL2 on the GPU.")
    .version(packageVersion())
    // Names only: with their arguments the descriptions would not fit a line.
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .addHelpText("after", `${examples}\n${exitCodeHelp}`)
    // Options after a command belong to that command: `bench` and `bench compare` both have --json.
    .enablePositionalOptions()
    // Errors are thrown, and printed below as one line.
    .exitOverride()
    .configureOutput({ outputError: () => {} });
  const commands = [
    tourCommand(),
    trainCommand(),
    evalCommand(),
    quantizeCommand(),
    generateCommand(),
    chatCommand(),
    embedCommand(),
    runCommand(),
    recipeCommand(),
    infoCommand(),
    benchCommand(),
    planCommand(),
    playgroundCommand(),
  ];
  for (const command of commands) {
    for (const child of command.commands) child.copyInheritedSettings(root);
    root.addCommand(command.copyInheritedSettings(root).addHelpText("after", exitCodeHelp));
  }
  return root;
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.success : exitCodes.usage;
  if (error instanceof UsageError) return exitCodes.usage;
  if (error instanceof DifferenceError) return exitCodes.difference;
  return error instanceof InterruptedError ? exitCodes.interrupted : exitCodes.failure;
}

// What cannot be printed does not end the work: files are still written. A reader that has seen enough
// (`wattgrad info | head -1`) is no error; a full disk is one.
let unprinted: unknown;
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE" || unprinted !== undefined) return;
  unprinted = error;
  process.exitCode = exitCodes.failure;
  process.stderr.write(`${lineOf(new Error(`cannot write to stdout: ${reasonOf(error)}`))}\n`);
});
// If stderr cannot be written either, only the exit code remains.
process.stderr.on("error", () => {});

try {
  if (process.argv.length <= 2) program().outputHelp();
  else await program().parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
  if (process.exitCode === exitCodes.success && unprinted !== undefined) process.exitCode = exitCodes.failure;
  else if (process.exitCode !== exitCodes.success) process.stderr.write(`${lineOf(error)}\n`);
}
