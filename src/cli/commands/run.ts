/** `wattgrad run`: a pipeline by the name of its task. */
import { Command, InvalidArgumentError } from "commander";
import { nearestName } from "../../core/check.js";
import { ArgumentError } from "../../core/errors.js";
import { type DeviceChoice, openDevice } from "../../device/select.js";
import { type TaskName, taskNames } from "../../pipeline/index.js";
import { UsageError } from "../exit.js";
import { whileListening } from "../interrupt.js";
import { type LanguageScheme, modelArgument, openPipeline, quantizeOption } from "../language.js";
import { linesOfInput } from "../lines.js";
import { deviceOption, jsonOption } from "../options.js";
import { requireJsonTarget, standardOutput, writeJson } from "../output.js";
import { print } from "../terminal.js";

interface RunCommandOptions {
  readonly context?: string;
  readonly labels?: string;
  readonly option: Readonly<Record<string, unknown>>;
  readonly quantize?: LanguageScheme;
  readonly device: DeviceChoice;
  readonly json?: string;
  readonly quiet?: boolean;
}

/** What `--json` writes. */
interface RunReport {
  readonly task: string;
  readonly model: string;
  readonly device: string;
  readonly inputs: readonly string[];
  /** One for each input. */
  readonly results: readonly unknown[];
}

const examples = `
Tasks: ${taskNames.join(", ")}

Examples:
  wattgrad run fill-mask models/bert "The capital of France is [MASK]." --option topK=3
  wattgrad run sentiment-analysis models/distilbert-sst2 "I love this." "I do not."
  wattgrad run ner models/bert-ner "John lives in Berlin." --option aggregationStrategy=simple --json -
  wattgrad run question-answering models/squad "Who lives in Berlin?" --context "John lives in Berlin."
  wattgrad run zero-shot-classification models/nli "Who won the match?" --labels "sport,food"`;

/** `name=value`: JSON, or else a string. */
function option(text: string, before: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("It must be name=value.");
  const value = text.slice(at + 1);
  let parsed: unknown = value;
  try {
    parsed = JSON.parse(value);
  } catch {}
  return { ...before, [text.slice(0, at)]: parsed };
}

export function runCommand(): Command {
  return new Command("run")
    .description("run a task with a language model: classify, fill masks, answer questions …")
    .argument("<task>", "the name of a task, as in transformers")
    .argument("<model>", modelArgument)
    .argument("[input...]", "texts (default: the lines of stdin)")
    .option("--context <text>", "for question-answering: the text with the answers")
    .option("--labels <names>", "for zero-shot-classification: the classes, with commas between them")
    .option("--option <name=value>", "an option of the pipeline (may be repeated)", option, {})
    .addOption(quantizeOption())
    .addOption(deviceOption())
    .addOption(jsonOption())
    .option("--quiet", "no progress")
    .addHelpText("after", examples)
    .action(runTask);
}

async function runTask(
  task: string,
  name: string,
  given: readonly string[],
  options: RunCommandOptions,
): Promise<void> {
  const { context, labels, json, quiet, quantize, option: own } = options;
  if (!(taskNames as readonly string[]).includes(task)) {
    const nearest = nearestName(task, taskNames);
    const hint = nearest === undefined ? "" : `did you mean ${nearest}? `;
    throw new UsageError(`there is no task "${task.slice(0, 40)}": ${hint}tasks are ${taskNames.join(", ")}`);
  }
  await requireJsonTarget(json, [name, "the model"]);
  requireFor(task, "question-answering", "--context", context);
  requireFor(task, "zero-shot-classification", "--labels", labels);
  const inputs = given.length > 0 ? given : await linesOfInput("inputs");
  if (inputs.length === 0) throw new UsageError("there are no inputs");
  const report = await whileListening(async (signal): Promise<RunReport> => {
    const device = await openDevice(options.device);
    const opening = { device, signal, quiet, quantize, unit: "input" };
    const loaded = await openPipeline(task as TaskName, name, opening);
    const call = loaded as unknown as (...given: unknown[]) => Promise<readonly unknown[]>;
    const questions = inputs.map((question) => ({ question, context }));
    const given = context !== undefined ? [questions] : labels !== undefined ? [inputs, labels] : [inputs];
    const results = await call(...given, own).catch((error: unknown) => {
      // Options and texts that the task does not take.
      throw error instanceof ArgumentError ? new UsageError(error.message, { cause: error }) : error;
    });
    return { task, model: name, device: device.info.description, inputs, results: results.map(plain) };
  });
  if (json !== undefined) await writeJson(json, report);
  if (json !== standardOutput) for (const result of report.results) print(JSON.stringify(result));
}

/** @throws UsageError if an option is missing for the only task that takes it, or given for another. */
function requireFor(task: string, only: string, name: string, value: string | undefined): void {
  if ((task === only) === (value !== undefined)) return;
  throw new UsageError(task === only ? `${task} needs ${name}` : `${name} is for ${only}`);
}

/** Typed arrays as lists. */
function plain(value: unknown): unknown {
  if (ArrayBuffer.isView(value)) return [...(value as Float32Array)];
  return Array.isArray(value) ? value.map(plain) : value;
}
