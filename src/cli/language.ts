/** Language models for commands: where MODEL names one, and loading it with progress. */
import { SingleBar } from "cli-progress";
import { Option } from "commander";
import type { Device } from "../device/device.js";
import { type FileSource, modelSource } from "../hub/index.js";
import { fromPretrained, type Head, type LoadProgress, type Pretrained } from "../models/index.js";
import type { Module } from "../nn/module.js";
import { type Pipelines, pipeline, type TaskName } from "../pipeline/index.js";
import {
  bfloat16WeightOnly,
  float16WeightOnly,
  int4WeightOnly,
  int8Dynamic,
  int8WeightOnly,
  type Scheme,
} from "../quantization/index.js";
import { loadTokenizer, type Tokenizer } from "../text/index.js";
import { columnsOf, say } from "./terminal.js";

/** Schemes that need no calibration data. */
const schemes = {
  "int8-dynamic": () => int8Dynamic(),
  "int8-weight-only": () => int8WeightOnly(),
  "int4-weight-only": () => int4WeightOnly(),
  "float16-weight-only": () => float16WeightOnly(),
  "bfloat16-weight-only": () => bfloat16WeightOnly(),
  /** As a GGUF file has them. */
  file: () => "file" as const,
} satisfies Record<string, () => Scheme | "file">;

export type LanguageScheme = keyof typeof schemes;

export function quantizeOption(): Option {
  return new Option("--quantize <scheme>", "round the weights of linear layers").choices(
    Object.keys(schemes),
  );
}

/** The scheme of a name. */
function schemeOf(name: LanguageScheme): Scheme | "file" {
  return schemes[name]();
}

export const modelArgument =
  "a folder with config.json, weights and a tokenizer, a GGUF file, a URL of either, or hub:organisation/name";

/** The files of a model by what the user calls it. */
function sourceOf(model: string): FileSource {
  const { HF_TOKEN: token, HF_ENDPOINT: endpoint } = process.env;
  return modelSource(model, { ...(token && { token }), ...(endpoint && { endpoint }) });
}

/** Options of `loadLanguageModel`. */
interface LoadingOptions {
  readonly scheme?: LanguageScheme;
  readonly signal: AbortSignal;
  readonly quiet?: boolean;
}

export interface LanguageModel<M extends Module> extends Pretrained<M> {
  readonly tokenizer: Tokenizer;
}

/** Loads tokenizer, then weights, with a bar where stderr is a terminal; the first thing that does not fit ends it. */
export async function loadLanguageModel<M extends Module>(
  name: string,
  head: Head,
  device: Device,
  { scheme, signal, quiet }: LoadingOptions,
): Promise<LanguageModel<M>> {
  const source = sourceOf(name);
  const tokenizer = await loadTokenizer(source, { signal });
  return withProgress(quiet, async (onProgress) => {
    const loaded = await fromPretrained<M>(source, {
      ...{ head, device, signal, tokenizer },
      ...(onProgress && { onProgress }),
      ...(scheme && { quantization: schemeOf(scheme) }),
    });
    return { ...loaded, tokenizer };
  });
}

/** How a command opens a pipeline. */
interface PipelineCommandOptions {
  readonly device: Device;
  readonly signal: AbortSignal;
  readonly quiet?: boolean | undefined;
  readonly quantize?: LanguageScheme | undefined;
  /** What a text is called when it is too long: "text", "input". */
  readonly unit?: string;
}

/** Loads the model of a task, with a bar where stderr is a terminal; texts that lose their end are told of. */
export function openPipeline<T extends TaskName>(
  task: T,
  name: string,
  { device, signal, quiet, quantize, unit = "text" }: PipelineCommandOptions,
): Promise<Pipelines[T]> {
  return withProgress(quiet, (onProgress) =>
    pipeline(task, sourceOf(name), {
      device,
      signal,
      ...(onProgress && { onProgress }),
      ...(quantize && { quantization: schemeOf(quantize) }),
      onTruncate: ({ index, tokens, kept }) =>
        quiet || say(`${unit} ${index + 1} has ${tokens} tokens, of which the model takes ${kept}`),
    }),
  );
}

/** Loads with a bar where stderr is a terminal. */
async function withProgress<T>(
  quiet: boolean | undefined,
  load: (onProgress: ((event: LoadProgress) => void) | undefined) => Promise<T>,
): Promise<T> {
  const progress = quiet ? undefined : showLoading(process.stderr);
  try {
    return await load(progress?.update);
  } finally {
    progress?.end();
  }
}

/** Bytes of a megabyte, as downloads are counted. */
const megabyte = 1e6;

function showLoading(stream: NodeJS.WriteStream) {
  if (!stream.isTTY) return { update: undefined, end: () => {} };
  const bar = new SingleBar({
    format: "{what} [{bar}] {percentage} % of {megabytes} MB",
    barsize: Math.min(40, Math.max(10, columnsOf(stream) - 44)),
    hideCursor: true,
    clearOnComplete: true,
    stopOnComplete: false,
    stream,
  });
  bar.start(1, 0, { what: "loading", megabytes: "…" });
  return {
    update: ({ status, stage, loaded, total }: LoadProgress) => {
      const what = status === "progress_total" ? "fetching" : stage === "quantize" ? "quantizing" : "loading";
      if (status !== "progress_total" && status !== "tensor") return;
      bar.setTotal(total);
      bar.update(loaded, { what, megabytes: (total / megabyte).toFixed(1) });
    },
    end: () => bar.stop(),
  };
}
