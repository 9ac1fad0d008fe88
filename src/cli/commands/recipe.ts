/** `wattgrad recipe`: trains a model as a documented recipe does, with a seed. */
import { readFile } from "node:fs/promises";
import { Argument, Command } from "commander";
import { type DeviceChoice, openDevice } from "../../device/select.js";
import { FileError, reasonOf } from "../../formats/file.js";
import { InterruptedError, UsageError } from "../exit.js";
import { listenForInterrupt } from "../interrupt.js";
import { deviceOption, integerFrom, jsonOption } from "../options.js";
import { requireJsonTarget, writeJson } from "../output.js";
import { charGpt } from "../recipes/char_gpt.js";
import { loraOfText } from "../recipes/lora.js";
import type { Recipe } from "../recipes/recipe.js";
import { speakers } from "../recipes/speakers.js";
import { say } from "../terminal.js";

/** Each recipe with the line that describes it. */
const recipes: Readonly<Record<string, readonly [recipe: Recipe, description: string]>> = {
  "char-gpt": [
    charGpt,
    "a GPT over characters; on tiny Shakespeare the aim is a validation loss of 1.75 after 1,200 steps",
  ],
  lora: [
    loraOfText,
    "LoRA of a decoder (--model) on a page of text; --output keeps the adapter in peft's layout",
  ],
  speakers: [
    speakers,
    "a BERT over words, pretrained on the speeches of a play, then fine-tuned to name the speaker",
  ],
};
const width = Math.max(...Object.keys(recipes).map((name) => name.length));
const listed = Object.entries(recipes).map(([name, [, line]]) => `  ${name.padEnd(width)}  ${line}`);

interface RecipeCommandOptions {
  readonly data?: string;
  readonly seed: number;
  readonly steps?: number;
  readonly model?: string;
  readonly output?: string;
  readonly device: DeviceChoice;
  readonly json?: string;
}

const examples = `
Recipes:
${listed.join("\n")}

Examples:
  wattgrad recipe char-gpt --data tinyshakespeare.txt --seed 1
  wattgrad recipe lora --data page.txt --model models/smollm2 --output my-adapter
  wattgrad recipe speakers --data tinyshakespeare.txt --seed 1`;

export function recipeCommand(): Command {
  return new Command("recipe")
    .description("train a model as a documented recipe does")
    .addArgument(new Argument("[name]", "the recipe").choices(Object.keys(recipes)))
    .option("--data <file>", "the text to learn (required)")
    .option("--seed <n>", "of weights, order and masks", integerFrom(0), 0)
    .option("--steps <n>", "optimizer steps instead of the recipe's own", integerFrom(1))
    .option("--model <model>", "of lora: a folder, a URL or hub:organisation/name")
    .option("--output <folder>", "of lora: where the adapter is written")
    .addOption(deviceOption())
    .addOption(jsonOption())
    .addHelpText("after", examples)
    .action(run);
}

async function run(name: string | undefined, options: RecipeCommandOptions): Promise<void> {
  const { data, seed, steps, model, output } = options;
  if (name === undefined) {
    say(`Recipes:\n${listed.join("\n")}`);
    throw new UsageError("missing the name of a recipe");
  }
  if (data === undefined) throw new UsageError("the recipe needs --data: the text to learn");
  if (options.json !== undefined) await requireJsonTarget(options.json);
  const text = await readFile(data, "utf8").catch((cause) => {
    throw new FileError(`cannot read ${data}: ${reasonOf(cause)}`, { op: "recipe", cause });
  });
  const device = await openDevice(options.device);
  const interrupt = listenForInterrupt(() => say("ends after the running step; again to leave at once"));
  try {
    const { signal } = interrupt;
    const result = await recipes[name][0]({ device, seed, text, steps, model, output, signal, report: say });
    if (signal.aborted) throw new InterruptedError("it was interrupted");
    for (const [figure, value] of Object.entries(result.figures)) say(`${figure}: ${value}`);
    const { promise, seconds } = result;
    say(`trained in ${seconds.toFixed(0)} s`);
    if (promise && steps === undefined) {
      const bound = "atMost" in promise ? `at most ${promise.atMost}` : `at least ${promise.atLeast}`;
      say(`${promise.figure} of ${bound}: ${promise.isKept ? "reached" : "not reached"}`);
    }
    if (options.json !== undefined)
      await writeJson(options.json, { recipe: name, seed, device: device.name, ...result });
  } finally {
    interrupt.dispose();
    device.close();
  }
}
