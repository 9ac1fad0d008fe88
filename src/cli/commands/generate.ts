/** `wattgrad generate`: continues a text, or answers a message, with a language model. */
import { Command } from "commander";
import { type DeviceChoice, openDevice } from "../../device/select.js";
import { type EnergyFigure, formatJoules, openMeter } from "../../energy/index.js";
import { type GenerationResult, generate } from "../../generation/index.js";
import type { CausalModel } from "../../models/index.js";
import { InterruptedError, UsageError } from "../exit.js";
import { type Interrupt, listenForInterrupt } from "../interrupt.js";
import { type LanguageScheme, loadLanguageModel, modelArgument, quantizeOption } from "../language.js";
import { standardInput, textOfInput } from "../lines.js";
import { cpuWattsOption, deviceOption, energyCommandOption, jsonOption } from "../options.js";
import { requireJsonTarget, standardOutput, writeJson } from "../output.js";
import { type SamplingOptions, settingsOf, textFor, withSamplingOptions } from "../sampling.js";
import { say } from "../terminal.js";

interface GenerateCommandOptions extends SamplingOptions {
  readonly prompt?: string;
  readonly chat?: boolean;
  readonly system?: string;
  readonly quantize?: LanguageScheme;
  readonly device: DeviceChoice;
  readonly energyCommand?: string;
  readonly cpuWatts?: number;
  readonly json?: string;
  readonly quiet?: boolean;
}

/** What `--json` writes. */
interface GenerateReport {
  readonly model: string;
  readonly device: string;
  readonly quantize: LanguageScheme | null;
  readonly text: string;
  readonly tokens: readonly number[];
  readonly promptTokens: number;
  readonly stoppedBecause: string;
  readonly prefillTokensPerSecond: number;
  /** Null for a single token. */
  readonly tokensPerSecond: number | null;
  /** Of the device: weights, caches and intermediate values. */
  readonly peakBytes: number;
  /** Of the whole generation, the prompt included, per new token. */
  readonly joulesPerToken: EnergyFigure;
  readonly settings: GenerationResult["settings"];
  /** Keys of generation_config.json that would change tokens and have no effect here. */
  readonly unknownSettings: readonly string[];
}

const examples = `
Examples:
  wattgrad generate models/gpt2 --prompt "The capital of France is"
  wattgrad generate models/smollm2 --chat --prompt "What is the capital of France?" --quantize int8-dynamic
  wattgrad generate models/smollm2 --prompt "Once upon a time" --temperature 0.8 --top-p 0.95 --seed 7 --json -
  wattgrad generate models/gpt2 < beginning.txt`;

export function generateCommand(): Command {
  const command = new Command("generate")
    .description("continue a text, or answer a message, with a language model")
    .argument("<model>", modelArgument)
    .option("--prompt <text>", "the text to continue, or the message to answer (default or -: stdin)")
    .option("--chat", "answer the prompt by the model's chat template")
    .option("--system <text>", "with --chat: a system message in front");
  return withSamplingOptions(command, 128)
    .addOption(quantizeOption())
    .addOption(deviceOption())
    .addOption(energyCommandOption())
    .addOption(cpuWattsOption())
    .addOption(jsonOption())
    .option("--quiet", "no progress and no figures")
    .addHelpText("after", examples)
    .action(runGenerate);
}

async function runGenerate(name: string, options: GenerateCommandOptions): Promise<void> {
  const { json, quiet } = options;
  if (options.system !== undefined && !options.chat) throw new UsageError("--system needs --chat");
  await requireJsonTarget(json, [name, "the model"]);
  const interrupt = listenForInterrupt(() => {});
  try {
    const report = await generateText(name, options, interrupt);
    if (json !== undefined) await writeJson(json, report);
    if (!quiet) say(figuresOf(report));
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    throw new InterruptedError("interrupted");
  } finally {
    interrupt.dispose();
  }
}

async function generateText(
  name: string,
  options: GenerateCommandOptions,
  { signal }: Interrupt,
): Promise<GenerateReport> {
  const { chat, system, json, quiet, quantize: scheme } = options;
  const { prompt = standardInput } = options;
  const given = prompt === standardInput ? await textOfInput("--prompt") : prompt;
  const device = await openDevice(options.device);
  const { model, tokenizer, generationConfig } = await loadLanguageModel<CausalModel>(
    name,
    "causalLm",
    device,
    {
      signal,
      ...(scheme && { scheme }),
      ...(quiet && { quiet }),
    },
  );
  const messages = [
    ...(system === undefined ? [] : [{ role: "system", content: system }]),
    { role: "user", content: given },
  ];
  const inputIds = [...(chat ? tokenizer.encodeChat(messages) : tokenizer.encode(given))];
  if (inputIds.length === 0) throw new UsageError("--prompt is empty");
  const { energyCommand: command, cpuWatts } = options;
  const meter = await openMeter({ command, cpuWatts, device });
  try {
    const window = await meter.begin();
    const start = performance.now();
    let [first, last] = [start, start];
    const generation = generate(model, {
      ...settingsOf(options),
      inputIds,
      generationConfig,
      tokenizer,
      signal,
    });
    const show = (text: string) =>
      json !== standardOutput && process.stdout.write(textFor(process.stdout, text));
    for await (const { text } of generation) {
      last = performance.now();
      if (first === start) first = last;
      show(text ?? "");
    }
    show("\n");
    const { sequences, settings, unknown } = await generation.finish();
    const [{ ids, text, reason }] = sequences[0];
    const energy = await window.read();
    return {
      model: name,
      device: device.info.description,
      quantize: scheme ?? null,
      text: text!,
      tokens: ids,
      promptTokens: inputIds.length,
      stoppedBecause: reason,
      prefillTokensPerSecond: (1000 * inputIds.length) / (first - start),
      tokensPerSecond: ids.length > 1 ? (1000 * (ids.length - 1)) / (last - first) : null,
      peakBytes: device.memory().peakBytes,
      joulesPerToken: { ...energy, joules: energy.joules === null ? null : energy.joules / ids.length },
      settings,
      unknownSettings: unknown,
    };
  } finally {
    meter.close();
  }
}

function figuresOf(report: GenerateReport): string {
  const { promptTokens, tokens, prefillTokensPerSecond, tokensPerSecond, stoppedBecause, joulesPerToken } =
    report;
  const speeds = [
    `${promptTokens} prompt tokens at ${prefillTokensPerSecond.toFixed(1)}/s`,
    `${tokens.length} new tokens${tokensPerSecond === null ? "" : ` at ${tokensPerSecond.toFixed(1)}/s`}`,
  ];
  const { joules, kind } = joulesPerToken;
  const energy = joules === null ? "energy unknown" : `${formatJoules(joules)} per token, ${kind}`;
  const memory = `${(report.peakBytes / 2 ** 20).toFixed(0)} MiB at most`;
  const unknown =
    report.unknownSettings.length > 0
      ? `\nignored in generation_config.json: ${report.unknownSettings.join(", ")}`
      : "";
  return `${speeds.join(", ")}; ended by ${stoppedBecause}; ${memory}; ${energy}; ${report.device}${unknown}`;
}
