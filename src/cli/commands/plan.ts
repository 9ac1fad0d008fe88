/** `wattgrad plan`: estimates the cost of a large model before training. */
import { Command, Option } from "commander";
import { FormatError } from "../../core/errors.js";
import { formatJoules } from "../../energy/index.js";
import { readFile } from "../../formats/file.js";
import { UsageError } from "../exit.js";
import { integerFrom, jsonOption, positiveNumber } from "../options.js";
import { requireJsonTarget, standardOutput, writeJson } from "../output.js";
import { parseConfig } from "../plan/config.js";
import { countTransformer, type TransformerCount } from "../plan/count.js";
import { type Plan, plan } from "../plan/estimate.js";
import { defaultHardware, defaultPue, type Hardware, hardware } from "../plan/hardware.js";
import { type Comparison, comparePublished } from "../plan/published.js";
import { printTable } from "../terminal.js";

interface PlanOptions {
  readonly params?: number;
  readonly config?: string;
  readonly tokens?: number;
  readonly length?: number;
  readonly hardware: string;
  readonly devices?: number;
  readonly tflops?: number;
  readonly watts?: number;
  readonly pue: number;
  readonly recompute?: boolean;
  readonly weightBits: number;
  readonly intensity?: number;
  readonly intensitySource?: string;
  readonly published?: boolean;
  readonly json?: string;
}

const examples = `
Examples:
  wattgrad plan --params 175e9 --tokens 300e9
  wattgrad plan --config config.json --tokens 2e12 --hardware h100 --devices 1024
  wattgrad plan --params 7e9 --tokens 2e12 --intensity 56 --intensity-source "France 2023"
  wattgrad plan --published                       how far such plans are from what was published`;

/** Chinchilla's rule (Hoffmann et al. 2022), if no number of tokens is given. */
const tokensPerParameter = 20;

export function planCommand(): Command {
  return new Command("plan")
    .description("estimate FLOPs, time, memory, energy and CO2 of a large model")
    .option("--params <n>", "parameters, such as 175e9", positiveNumber)
    .option("--config <file>", "a config.json of a GPT-2, BERT, BLOOM or Llama: counts exactly")
    .option("--tokens <n>", `of training (default: ${tokensPerParameter} per parameter)`, positiveNumber)
    .option("--length <n>", "tokens of a sequence, with --config (default: the longest)", integerFrom(1))
    .addOption(
      new Option("--hardware <name>", "accelerator").choices(Object.keys(hardware)).default(defaultHardware),
    )
    .option("--devices <n>", "how many (default: as few as hold the training)", integerFrom(1))
    .option("--tflops <n>", "reached by each, instead of what was published", positiveNumber)
    .option("--watts <n>", "drawn by each, instead of what was published", positiveNumber)
    .option("--pue <n>", "energy of the data centre per energy of its computers", positiveNumber, defaultPue)
    .option("--recompute", "activations are computed again in the backward pass")
    .option("--weight-bits <n>", "of a weight for inference", integerFrom(1), 16)
    .option("--intensity <g>", "grams of CO2e per kWh; needs --intensity-source", positiveNumber)
    .option("--intensity-source <text>", "place, year and publication of the intensity")
    .option("--published", "compare plans with published figures of large models, and end")
    .addOption(jsonOption())
    .addHelpText("after", examples)
    .action(runPlan);
}

async function runPlan(options: PlanOptions): Promise<void> {
  const { json } = options;
  if (options.published) {
    await requireJsonTarget(json);
    const comparisons = await comparePublished();
    if (json !== standardOutput) printComparisons(comparisons);
    if (json !== undefined) await writeJson(json, { published: comparisons });
    return;
  }
  checkOptions(options);
  await requireJsonTarget(json, [options.config, "the config"]);
  const { intensity, intensitySource } = options;
  const count = options.config === undefined ? undefined : await countConfig(options.config, options.length);
  const parameters = options.params ?? count!.parameters;
  const result = plan({
    parameters,
    tokens: options.tokens ?? tokensPerParameter * parameters,
    count,
    hardware: chosenHardware(options),
    devices: options.devices,
    pue: options.pue,
    recompute: options.recompute ?? false,
    weightBits: options.weightBits,
    intensity: intensity === undefined ? undefined : { gramsPerKwh: intensity, source: intensitySource! },
  });
  if (json !== standardOutput) printPlan(result);
  if (json !== undefined) await writeJson(json, result);
}

function checkOptions({ params, config, length, intensity, intensitySource, pue }: PlanOptions): void {
  if ((params === undefined) === (config === undefined)) {
    throw new UsageError("give either --params N or --config FILE");
  }
  if (length !== undefined && config === undefined) throw new UsageError("--length needs --config FILE");
  if ((intensity === undefined) !== (intensitySource === undefined)) {
    throw new UsageError("--intensity and --intensity-source belong together");
  }
  if (pue < 1) throw new UsageError("--pue is at least 1");
}

async function countConfig(path: string, length: number | undefined): Promise<TransformerCount> {
  const text = new TextDecoder().decode(await readFile(path, "plan"));
  try {
    const shape = parseConfig(text);
    return await countTransformer(shape, length ?? shape.context);
  } catch (error) {
    throw new FormatError(`${path}: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}

function chosenHardware({ hardware: name, tflops, watts }: PlanOptions): Hardware {
  const known = hardware[name];
  if (tflops === undefined && watts === undefined) return known;
  const given = [tflops && `${tflops} TFLOP/s`, watts && `${watts} W`].filter(Boolean).join(" and ");
  return {
    ...known,
    flopsPerSecond: tflops === undefined ? known.flopsPerSecond : tflops * 1e12,
    watts: watts ?? known.watts,
    source: `${given} as given; otherwise ${known.source}`,
  };
}

function printPlan({ parameters, hardware, training, inference }: Plan): void {
  const { memory } = training;
  const unknown = (reason: string | undefined) => `unknown: ${reason}`;
  printTable([
    ["parameters", scientific(parameters)],
    ["hardware", `${hardware.devices.toLocaleString("en")} × ${hardware.name}, PUE ${hardware.pue}`],
    ["", hardware.source],
    [{ colSpan: 2, content: `training on ${scientific(training.tokens)} tokens` }],
    ["FLOPs", `${scientific(training.flops)}: ${training.flopsMethod}`],
    [
      "FLOPs, counted",
      training.flopsOfGraph === null
        ? unknown(training.flopsOfGraphReason)
        : scientific(training.flopsOfGraph),
    ],
    ["time", `${duration(training.seconds)}; ${duration(training.deviceSeconds)} of one accelerator`],
    ["memory", `${bytes(memory.stateBytes)}: ${memory.stateMethod}`],
    ["energy", `${formatJoules(training.joules)} = ${kwh(training.kwh)} (${training.kind})`],
    ["CO2e", training.gCO2e === null ? unknown(training.gCO2eReason) : grams(training.gCO2e)],
    [{ colSpan: 2, content: "inference, one stream" }],
    ["FLOPs per token", scientific(inference.flopsPerTokenOfGraph ?? inference.flopsPerToken)],
    ["weights", `${bytes(inference.weightBytes)} on ${inference.devices} × ${hardware.name}`],
    [
      "speed",
      `${figure(inference.tokensPerSecond)} tokens/s, prompts ${figure(inference.promptTokensPerSecond)}`,
    ],
    ["energy per token", `${formatJoules(inference.joulesPerToken)} (${inference.kind})`],
    ...(memory.activationBytes === null
      ? []
      : [["activations", `${bytes(memory.activationBytes)} of one sequence in training, float32`]]),
  ]);
}

function printComparisons(comparisons: readonly Comparison[]): void {
  const rows = comparisons.map(({ model, quantity, unit, published, estimated, error, source }) => {
    const value = (n: number) => `${n >= 1e6 ? scientific(n) : figure(n)} ${unit}`.trim();
    const percent = `${error >= 0 ? "+" : ""}${(100 * error).toFixed(1)} %`;
    return [model, quantity, value(published), value(estimated), percent, source];
  });
  printTable(rows, { head: ["model", "quantity", "published", "estimated", "error", "source"] });
}

function scientific(value: number): string {
  return value.toExponential(3).replace("e+", "e");
}

function figure(value: number): string {
  return value.toLocaleString("en", { maximumSignificantDigits: 4 });
}

const year = 365.25 * 24 * 3600;

function duration(seconds: number): string {
  for (const [unit, length] of [
    ["years", year],
    ["days", 86_400],
    ["hours", 3600],
  ] as const) {
    if (seconds >= 2 * length) return `${figure(seconds / length)} ${unit}`;
  }
  return `${figure(seconds)} seconds`;
}

function bytes(count: number): string {
  for (const [unit, size] of [
    ["TB", 1e12],
    ["GB", 1e9],
  ] as const) {
    if (count >= size) return `${figure(count / size)} ${unit}`;
  }
  return `${figure(count / 1e6)} MB`;
}

function kwh(value: number): string {
  return value >= 1000 ? `${figure(value / 1000)} MWh` : `${figure(value)} kWh`;
}

function grams(value: number): string {
  if (value >= 1e6) return `${figure(value / 1e6)} t`;
  return value >= 1000 ? `${figure(value / 1000)} kg` : `${figure(value)} g`;
}
