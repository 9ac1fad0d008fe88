/**
 * Models from files as the Hugging Face Hub has them: configuration, index and headers first, so that everything that does not fit is
 * known after some kilobytes; then tensor by tensor onto the device.
 */
import {
  aBoolean,
  aCount,
  aFunction,
  anObject,
  check,
  checkOptions,
  type Kind,
  type Kinds,
  oneOf,
} from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import { sameShape, sizeOf } from "../core/shape.js";
import type { Device } from "../device/device.js";
import { openMeta } from "../device/meta.js";
import { type DeviceChoice, deviceNamed, deviceOrName } from "../device/select.js";
import { FileError } from "../formats/file.js";
import { openSafetensors } from "../formats/safetensors_file.js";
import type { ReadableTensor } from "../formats/safetensors_write.js";
import type { Tensor } from "../graph/tensor.js";
import { ggufIn } from "../hub/gguf.js";
import { type FileSource, openFileOf } from "../hub/source.js";
import type { Module } from "../nn/module.js";
import type { StateDict } from "../nn/state_dict.js";
import { ones, zeros } from "../ops/creation.js";
import { mul } from "../ops/elementwise.js";
import { randn } from "../ops/random.js";
import { dispose } from "../runtime/dispose.js";
import type { Architecture, CommonConfig, Head } from "./architecture.js";
import { readEmbedding } from "./embedding.js";
import { openGgufModel, type SizedTensor } from "./gguf.js";
import { type LoadProgress, ModelFiles } from "./model_files.js";
import { type FileTensor, inFileLayout, type NameRules, renamed } from "./names.js";
import { architectureOf, headOf } from "./registry.js";

const op = "fromPretrained";

/** Options of `fromPretrained`. */
export interface PretrainedOptions {
  /** Default: that of the class which wrote the file; for a folder with modules.json `embedding`. */
  readonly head?: Head;
  /** A device or its name. Default: the best one here. */
  readonly device?: Device | DeviceChoice;
  /** Classes of a new classifier. Default: those of config.json. */
  readonly numLabels?: number;
  /** Parameters of the head that have another shape in the file get initial values. Default false: an error. */
  readonly ignoreMismatched?: boolean;
  readonly onProgress?: (event: LoadProgress) => void;
  readonly signal?: AbortSignal;
}

const aSource: Kind = [
  "a FileSource",
  (value) => {
    const { has, size, read } = (value ?? {}) as Partial<FileSource>;
    return [has, size, read].every((member) => typeof member === "function");
  },
  (value) =>
    typeof value === "string" ? "folder(path), url(base) or hub(name) of wattgrad/hub make one" : undefined,
];

const heads = oneOf<Head>("causalLm", "maskedLm", "sequence", "tokens", "question", "embedding", "none");
const pretrainedOptions = (): Kinds<PretrainedOptions> => ({
  head: heads,
  device: deviceOrName,
  numLabels: aCount,
  ignoreMismatched: aBoolean,
  onProgress: aFunction,
  signal: anObject,
});

/** What a folder of the Hub has become. */
export interface Pretrained<M extends Module = Module> {
  /** In inference mode. */
  readonly model: M;
  readonly head: Head;
  readonly config: CommonConfig;
  /** generation_config.json, or what config.json has of it. */
  readonly generationConfig: Readonly<Record<string, unknown>>;
  readonly report: PretrainedReport;
}

/** Differences between a file and its model that `fromPretrained` accepted. */
export interface PretrainedReport {
  /** Parameters of the head that the file lacks: they got random values, and have to be trained. */
  readonly initialised: readonly string[];
  /** Tensors of the file that the model does not use. */
  readonly ignored: readonly string[];
}

/**
 * Loads a model from a folder, a server or the Hub. Names, layouts and configurations are those of the original library, before and after
 * its version 5; weights are F32, F16 or BF16 in one file or several. A source without config.json may hold a GGUF file of Llama, Qwen2 or
 * Qwen3 instead, whose weights become float32.
 *
 * @throws ConfigError for a value that changes results and is not supported; FileError for missing files; StateDictError listing all
 * tensors that are missing, unexpected or of another shape, before any is read.
 * @example
 * const source = folder("node_modules/wattgrad/test/fixtures/models/gpt2");
 * const { model, head, report } = await fromPretrained(source, { device: "wasm" });
 * head; // "causalLm"
 * report.initialised; // []
 * model.forward(tensor([[5, 6, 7]], { dtype: "int32" })).shape; // [1, 3, 61]
 */
export async function fromPretrained<M extends Module = Module>(
  source: FileSource,
  options: PretrainedOptions = {},
): Promise<Pretrained<M>> {
  check(op, "the source", source, aSource);
  const given = checkOptions(op, options, pretrainedOptions());
  const { signal, onProgress } = given;
  signal?.throwIfAborted();
  const sourceFiles = new ModelFiles(op, source, signal, onProgress);
  const readJson = (path: string) => sourceFiles.json(path);
  const hasFile = (path: string) => sourceFiles.has(path);
  const path = (await hasFile("config.json")) ? undefined : await ggufIn(sourceFiles, op);
  const gguf = path === undefined ? undefined : await openGgufModel(sourceFiles, path, signal);
  const configJson = gguf?.config ?? (await readJson("config.json"));
  const architecture = architectureOf(configJson);
  const own = architecture.readConfig(configJson);
  const config: CommonConfig = {
    ...own,
    ...(given.numLabels !== undefined && labelled(given.numLabels)),
    embedding: await readEmbedding(readJson, hasFile),
  };
  const head =
    given.head ?? ((await isEmbedding(architecture, hasFile)) ? "embedding" : headOf(architecture, config));
  if (!architecture.heads.includes(head)) {
    throw new ArgumentError(`${config.modelType} has no head ${head}`, {
      op,
      hint: `it has ${architecture.heads.join(", ")}`,
    });
  }
  const generation =
    gguf?.generation ??
    ((await hasFile("generation_config.json"))
      ? await readJson("generation_config.json")
      : legacyGeneration(configJson as object));
  const device = await deviceNamed(op, given.device ?? "auto");
  const file: WeightFile = gguf ?? (await openWeights(sourceFiles, signal));
  try {
    const model = architecture.build(config, head, { device: openMeta() });
    const keys = model.stateDict();
    const { tensors, ignored } = renamed(
      counted(file, sourceFiles),
      new Set(keys.keys()),
      architecture.names,
    );
    const state = new Map<string, StateDict extends ReadonlyMap<string, infer V> ? V : never>(tensors);
    if (given.ignoreMismatched) {
      for (const [name, { shape }] of tensors) {
        const wanted = keys.get(name);
        if (wanted && architecture.headKeys.test(name) && !sameShape(shape, wanted.shape)) state.delete(name);
      }
    }
    const initialised: string[] = [];
    const values = new Map([...keys].filter(([name]) => state.has(name)).map(([, tensor]) => [tensor, true]));
    for (const [name, tensor] of keys) {
      if (values.has(tensor) || !architecture.headKeys.test(name)) continue;
      values.set(tensor, true);
      initialised.push(name);
      state.set(name, initialValue(name, tensor.shape, config.initializerRange, device));
    }
    await sourceFiles.prepareWeights();
    const report = await model.loadStateDict(state, { assign: device, ignore: [architecture.headKeys] });
    for (const name of initialised) dispose(state.get(name) as Tensor);
    model.eval();
    rulesOf.set(model, architecture.names);
    sourceFiles.finish();
    return {
      model: model as M,
      head,
      config,
      generationConfig: generation as Record<string, unknown>,
      report: { initialised, ignored: [...ignored, ...report.ignored] },
    };
  } finally {
    await file.close();
  }
}

/** The rules of the family of each model that was loaded. */
const rulesOf = new WeakMap<Module, NameRules>();

/**
 * The tensors of a loaded model as its files have them, for `saveSafetensors`: names, layouts, a tied tensor once.
 *
 * @throws ArgumentError for a model that `fromPretrained` has not made.
 * @example
 * const { model } = await fromPretrained(folder("node_modules/wattgrad/test/fixtures/models/gpt2"), { device: "wasm" });
 * const tensors = fileState(model);
 * tensors.get("transformer.h.0.mlp.c_fc.weight")!.shape; // [16, 64]
 * await saveSafetensors("model.safetensors", tensors);
 */
export function fileState(model: Module): Map<string, ReadableTensor> {
  const rules = rulesOf.get(model);
  if (rules === undefined) {
    throw new ArgumentError("the model was not loaded by fromPretrained", {
      op: "fileState",
      hint: "save its stateDict()",
    });
  }
  return inFileLayout(model.stateDict(), rules);
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
async function openWeights(source: FileSource, signal: AbortSignal | undefined): Promise<WeightFile> {
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
    const { dtype, shape, bytes } = entry;
    const data = async () => {
      const values = await entry.data();
      progress.tensor(name, bytes, "load");
      return values;
    };
    async function* pieces() {
      for await (const piece of entry.pieces()) {
        progress.tensor(name, (bytes * piece.length) / sizeOf(shape), "load");
        yield piece;
      }
    }
    return [name, { dtype, shape, data, pieces }];
  });
  return new Map(entries);
}

/** As the original initialises layers: matrices normal, biases 0, scales of norms 1. */
function initialValue(name: string, shape: readonly number[], range: number, device: Device) {
  if (shape.length > 1) return mul(randn(shape, { device }), range);
  return name.endsWith("bias") ? zeros(shape, { device }) : ones(shape, { device });
}
