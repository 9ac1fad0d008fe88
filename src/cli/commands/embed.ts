/** `wattgrad embed`: one vector for each text, and how near they are. */
import { Command, Option } from "commander";
import { type DeviceChoice, openDevice } from "../../device/select.js";
import type { FeatureExtractionOptions } from "../../pipeline/index.js";
import { UsageError } from "../exit.js";
import { whileListening } from "../interrupt.js";
import { type LanguageScheme, modelArgument, openPipeline, quantizeOption } from "../language.js";
import { linesOfInput } from "../lines.js";
import { deviceOption, jsonOption } from "../options.js";
import { requireJsonTarget, standardOutput, writeJson } from "../output.js";
import { printTable } from "../terminal.js";

interface EmbedCommandOptions {
  readonly pooling: NonNullable<Exclude<FeatureExtractionOptions["pooling"], "none">>;
  readonly normalize?: boolean;
  readonly quantize?: LanguageScheme;
  readonly device: DeviceChoice;
  readonly json?: string;
  readonly quiet?: boolean;
}

/** What `--json` writes. */
interface EmbedReport {
  readonly model: string;
  readonly device: string;
  readonly texts: readonly string[];
  /** A vector for each text. */
  readonly embeddings: readonly (readonly number[])[];
  /** The ids of each text, the model's own tokens included. */
  readonly tokens: readonly (readonly number[])[];
}

const examples = `
Examples:
  wattgrad embed models/minilm "A man is eating food." "A man is eating bread." "A cheetah chases its prey."
  wattgrad embed hub:sentence-transformers/all-MiniLM-L6-v2 --json vectors.json < lines.txt`;

export function embedCommand(): Command {
  return new Command("embed")
    .description("turn texts into vectors, and compare them")
    .argument("<model>", modelArgument)
    .argument("[text...]", "the texts (default: the lines of stdin)")
    .addOption(
      new Option("--pooling <how>", "from the vectors of tokens to one")
        .choices(["model", "mean", "cls", "max"])
        .default("model"),
    )
    .option("--normalize", "give vectors the length 1 (with --pooling model: as the model's files say)")
    .addOption(quantizeOption())
    .addOption(deviceOption())
    .addOption(jsonOption())
    .option("--quiet", "no progress and no table")
    .addHelpText("after", examples)
    .action(runEmbed);
}

async function runEmbed(name: string, given: readonly string[], options: EmbedCommandOptions): Promise<void> {
  const { json, quiet, pooling, normalize = false, quantize } = options;
  await requireJsonTarget(json, [name, "the model"]);
  const texts = given.length > 0 ? given : await linesOfInput("texts");
  if (texts.length === 0) throw new UsageError("there are no texts");
  const report = await whileListening(async (signal): Promise<EmbedReport> => {
    const device = await openDevice(options.device);
    const embed = await openPipeline("feature-extraction", name, { device, signal, quiet, quantize });
    const vectors = await embed(texts, { pooling, normalize });
    return {
      model: name,
      device: device.info.description,
      texts,
      embeddings: vectors.map((vector) => [...vector]),
      tokens: texts.map((text) => [...embed.tokenizer.encode(text)]),
    };
  });
  if (json !== undefined) await writeJson(json, report);
  if (json !== standardOutput && !quiet) printSimilarities(report);
}

/** Longest text in the table. */
const shown = 40;

function printSimilarities({ texts, embeddings }: EmbedReport): void {
  const label = (text: string) => (text.length > shown ? `${text.slice(0, shown - 1)}…` : text);
  const rows = texts.map((text, i) => [
    `${i + 1}: ${label(text)}`,
    ...embeddings.map((other) => cosine(embeddings[i], other).toFixed(4)),
  ]);
  printTable(rows, { head: ["cosine similarity", ...texts.map((_, i) => String(i + 1))], figuresFrom: 1 });
}

function cosine(a: readonly number[], b: readonly number[]): number {
  const dot = (x: readonly number[], y: readonly number[]) =>
    x.reduce((sum, value, i) => sum + value * y[i], 0);
  return dot(a, b) / Math.max(Math.sqrt(dot(a, a) * dot(b, b)), 1e-12);
}
