/**
 * Models from files as the Hugging Face Hub has them: configuration, index and headers first, so that everything that does not fit is
 * known after some kilobytes; then tensor by tensor onto the device.
 */
import { aBoolean, aCount, aFunction, anObject, check, checkOptions, type Kinds } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { Device } from "../device/device.js";
import { openMeta } from "../device/meta.js";
import { type DeviceChoice, deviceNamed, deviceOrName } from "../device/select.js";
import type { ReadableTensor } from "../formats/safetensors_write.js";
import type { Tensor } from "../graph/tensor.js";
import { aFileSource, type FileSource } from "../hub/source.js";
import type { Module } from "../nn/module.js";
import type { Scheme } from "../quantization/scheme.js";
import { dispose } from "../runtime/dispose.js";
import type { CommonConfig, Head } from "./architecture.js";
import { type LoadProgress, ModelFiles } from "./model_files.js";
import { inFileLayout, type NameRules } from "./names.js";
import { openModel } from "./open_model.js";
import { aQuantization, heads } from "./options.js";
import { requireRoom, weightsOf } from "./room.js";
import { requireVocabulary, type SizedTokenizer } from "./tokenizer_match.js";

const op = "fromPretrained";

/** Options of `fromPretrained`. */
export interface PretrainedOptions {
  /** Default: that of the class which wrote the file; for a folder with modules.json `embedding`. */
  readonly head?: Head;
  /** A device or its name. Default: the best one here. */
  readonly device?: Device | DeviceChoice;
  /**
   * A scheme without calibration data rounds linear layers while they are read, as `quantize(model, scheme)` does afterwards: of a
   * float32 matrix, a slab of rows is in memory. An embedding that is tied to a linear layer shares its quantized weight.
   *
   * `file` keeps linear layers and embeddings as a GGUF file has them: Q4_0, Q4_1 and Q8_0 exactly, F16 and BF16 as halves; Q5_0, Q5_1
   * and the K types are rounded to int8 with a scale for each row. Products with quantized weights round activations to int8, as
   * llama.cpp's do: where two tokens have nearly the same score, another one may be first. Default `none`: float32.
   */
  readonly quantization?: Scheme | "file" | "none";
  /** Refused, before weights are downloaded, if it has more tokens than the model. */
  readonly tokenizer?: SizedTokenizer;
  /** Classes of a new classifier. Default: those of config.json. */
  readonly numLabels?: number;
  /** Parameters of the head that have another shape in the file get initial values. Default false: an error. */
  readonly ignoreMismatched?: boolean;
  readonly onProgress?: (event: LoadProgress) => void;
  readonly signal?: AbortSignal;
}

const pretrainedOptions = (): Kinds<PretrainedOptions> => ({
  head: heads,
  device: deviceOrName,
  quantization: aQuantization,
  tokenizer: anObject,
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
 * Qwen3 instead, whose weights become float32 by default.
 *
 * @throws ConfigError for a value that changes results and is not supported; FileError for missing files; OutOfMemoryError with the
 * figures where the device has no room, before weights are downloaded; StateDictError listing all
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
  check(op, "the source", source, aFileSource);
  const given = checkOptions(op, options, pretrainedOptions());
  const { signal, onProgress } = given;
  signal?.throwIfAborted();
  const device = await deviceNamed(op, given.device ?? "auto");
  const files = new ModelFiles(op, source, signal, onProgress);
  const { head: wantedHead, numLabels, ignoreMismatched = false } = given;
  const opened = await openModel(op, files, {
    ...{ head: wantedHead, numLabels, ignoreMismatched, meta: openMeta(), device, signal },
  });
  try {
    const { architecture, model, config, head, generation } = opened;
    let { state } = opened;
    const { quantization = "none" } = given;
    const { vocabulary } = config as { readonly vocabulary?: number };
    requireVocabulary(op, given.tokenizer, vocabulary, source.label);
    if (quantization !== "none") {
      const { quantizeWhileLoading } = await import("./quantized_state.js");
      state = await quantizeWhileLoading(op, model, state, quantization, files);
    }
    requireRoom(op, weightsOf(model, device), device);
    await files.prepareWeights();
    await model.loadStateDict(state, { assign: device });
    for (const name of opened.initialised) dispose(opened.state.get(name) as Tensor);
    model.eval();
    if (quantization === "none") rulesOf.set(model, architecture.names);
    files.finish();
    return {
      model: model as M,
      head,
      config,
      generationConfig: generation as Record<string, unknown>,
      report: { initialised: opened.initialised, ignored: opened.ignored },
    };
  } finally {
    await opened.close();
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
