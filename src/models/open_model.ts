/**
 * What loading knows before it reads a weight: the configuration, the model without memory, and which tensor of which file each of its
 * parameters gets.
 */

import type { TypedArray } from "../core/dtype.js";
import { ArgumentError } from "../core/errors.js";
import { sameShape, sizeOf } from "../core/shape.js";
import type { Device } from "../device/device.js";
import { FileError } from "../formats/file.js";
import type { StoredTensor } from "../formats/host.js";
import { openSafetensors } from "../formats/safetensors_file.js";
import { ggufIn } from "../hub/gguf.js";
import { openFileOf } from "../hub/source.js";
import type { Module } from "../nn/module.js";
import { matchState } from "../nn/state_match.js";
import type { StateValue } from "../nn/state_values.js";
import { ones, zeros } from "../ops/creation.js";
import { mul } from "../ops/elementwise.js";
import { randn } from "../ops/random.js";
import type { Architecture, CommonConfig, Head } from "./architecture.js";
import { readEmbedding } from "./embedding.js";
import { openGgufModel, type SizedTensor } from "./gguf.js";
import type { ModelFiles } from "./model_files.js";
import { type FileTensor, renamed } from "./names.js";
import { architectureOf, headOf } from "./registry.js";

export interface OpenOptions {
  readonly head: Head | undefined;
  readonly numLabels: number | undefined;
  readonly ignoreMismatched: boolean;
  /** Whose tensors have no memory: the model is built on it. */
  readonly meta: Device;
  /** Gets the initial values of what the file lacks. */
  readonly device: Device;
  readonly signal: AbortSignal | undefined;
}

export interface OpenModel {
  readonly architecture: Architecture;
  readonly config: CommonConfig;
  readonly head: Head;
  readonly generation: object;
  /** On the meta device, with float weights. */
  readonly model: Module;
  /** Its parameters and buffers by name, in the order of the files. */
  readonly state: Map<string, StateValue>;
  readonly initialised: readonly string[];
  readonly ignored: readonly string[];
  close(): Promise<void>;
}

/**
 * Reads configuration and headers.
 * @throws what `fromPretrained` throws of files that do not fit.
 */
export async function openModel(op: string, files: ModelFiles, options: OpenOptions): Promise<OpenModel> {
  const { meta, device, signal } = options;
  const readJson = (path: string) => files.json(path);
  const hasFile = (path: string) => files.has(path);
  const path = (await hasFile("config.json")) ? undefined : await ggufIn(files, op);
  const gguf = path === undefined ? undefined : await openGgufModel(files, path, signal);
  const configJson = gguf?.config ?? (await readJson("config.json"));
  const architecture = architectureOf(configJson);
  const own = architecture.readConfig(configJson);
  const config: CommonConfig = {
    ...own,
    ...(options.numLabels !== undefined && labelled(options.numLabels)),
    embedding: await readEmbedding(readJson, hasFile),
  };
  const head =
    options.head ?? ((await isEmbedding(architecture, hasFile)) ? "embedding" : headOf(architecture, config));
  if (!architecture.heads.includes(head)) {
    throw new ArgumentError(`${config.modelType} has no head ${head}`, {
      op,
      hint: `it has ${architecture.heads.join(", ")}`,
    });
  }
  const generation =
    gguf?.generation ??
    ((await hasFile("generation_config.json"))
      ? ((await readJson("generation_config.json")) as object)
      : legacyGeneration(configJson as object));
  const file: WeightFile = gguf ?? (await openWeights(op, files, signal));
  try {
    const model = architecture.build(config, head, { device: meta });
    const keys = model.stateDict();
    const { tensors, ignored } = renamed(counted(file, files), new Set(keys.keys()), architecture.names);
    const state = new Map<string, StateValue>(tensors);
    if (options.ignoreMismatched) {
      for (const [name, { shape }] of tensors) {
        const wanted = keys.get(name);
        if (wanted && architecture.headKeys.test(name) && !sameShape(shape, wanted.shape)) state.delete(name);
      }
    }
    const initialised: string[] = [];
    const values = new Set([...keys].filter(([name]) => state.has(name)).map(([, tensor]) => tensor));
    for (const [name, tensor] of keys) {
      if (values.has(tensor) || !architecture.headKeys.test(name)) continue;
      values.add(tensor);
      initialised.push(name);
      state.set(name, initialValue(name, tensor.shape, config.initializerRange, device));
    }
    const { report } = matchState(model, state, { ignore: [architecture.headKeys] });
    for (const name of report.ignored) state.delete(name);
    return {
      ...{ architecture, config, head, generation, model, state, initialised },
      ignored: [...ignored, ...report.ignored],
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Keys of generation that config.json has where there is no generation_config.json. */
const legacyKeys =
  /^((bos|eos|pad|forced_bos|forced_eos)_token_id|max_length|min_length|do_sample|temperature|top_k|top_p|typical_p|num_beams|length_penalty|early_stopping|repetition_penalty|no_repeat_ngram_size|bad_words_ids|suppress_tokens|begin_suppress_tokens)$/;

function legacyGeneration(configJson: object): object {
  return Object.fromEntries(Object.entries(configJson).filter(([key]) => legacyKeys.test(key)));
}

function labelled(numLabels: number): Pick<CommonConfig, "numLabels" | "labels"> {
  return { numLabels, labels: Array.from({ length: numLabels }, (_, i) => `LABEL_${i}`) };
}

async function isEmbedding(
  { heads: own }: Architecture,
  hasFile: (path: string) => Promise<boolean>,
): Promise<boolean> {
  return own.includes("embedding") && (await hasFile("modules.json"));
}

/** Named tensors of one file or several, which are open. */
interface WeightFile {
  readonly tensors: ReadonlyMap<string, SizedTensor>;
  close(): Promise<void>;
}

/** The weights of a source: several files with an index, or one. @throws FileError */
async function openWeights(
  op: string,
  source: ModelFiles,
  signal: AbortSignal | undefined,
): Promise<WeightFile> {
  const names = ["model.safetensors.index.json", "model.safetensors"];
  for (const name of names) {
    if (await source.has(name))
      return openSafetensors(await openFileOf(source, name), signal ? { signal } : {});
  }
  throw new FileError(`${source.label} has neither ${names.join(" nor ")}`, { op });
}

/** The tensors of a file; reading them is told to `progress`. */
function counted(file: WeightFile, progress: ModelFiles): ReadonlyMap<string, FileTensor> {
  progress.expectTensors([...file.tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0));
  const entries = [...file.tensors].map(([name, entry]): [string, FileTensor] => {
    const { dtype, shape, bytes, stored, raw } = entry;
    const data = async () => {
      const values = await entry.data();
      progress.tensor(name, bytes);
      return values;
    };
    async function* reported(from: StoredTensor): AsyncGenerator<TypedArray> {
      for await (const piece of from.pieces()) {
        progress.tensor(name, (bytes * piece.length) / sizeOf(from.shape));
        yield piece;
      }
    }
    const inFile = raw && { ...raw, pieces: () => reported(raw) };
    return [name, { dtype, shape, data, pieces: () => reported(entry), stored, raw: inFile } as FileTensor];
  });
  return new Map(entries);
}

/** As the original initialises layers: matrices normal, biases 0, scales of norms 1. */
function initialValue(name: string, shape: readonly number[], range: number, device: Device) {
  if (shape.length > 1) return mul(randn(shape, { device }), range);
  return name.endsWith("bias") ? zeros(shape, { device }) : ones(shape, { device });
}
