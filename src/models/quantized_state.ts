/** Quantizes a model that has no weights yet, and the tensors of its files on their way to it. */
import "../ops/methods.js";
import { ArgumentError } from "../core/errors.js";
import { encodeBfloat16, encodeFloat16 } from "../core/half.js";
import { type FloatFormat, formatName, weightFormats } from "../core/weight_format.js";
import { blockSize, keptFormat, weightInBlocks } from "../formats/gguf_weights.js";
import type { StoredTensor } from "../formats/host.js";
import { Tensor } from "../graph/tensor.js";
import { Embedding } from "../nn/embedding.js";
import { Linear } from "../nn/linear.js";
import type { Module } from "../nn/module.js";
import { modulesOf } from "../nn/state.js";
import type { StateValue } from "../nn/state_values.js";
import { copied } from "../ops/composite.js";
import { allocateWeight } from "../quantization/device_weight.js";
import { QuantizedEmbedding } from "../quantization/embedding.js";
import { QuantizedLayer } from "../quantization/layer.js";
import { QuantizedLinear } from "../quantization/linear.js";
import { quantize } from "../quantization/quantize.js";
import { replaceModule, replacementsOf } from "../quantization/replace.js";
import type { Scheme } from "../quantization/scheme.js";
import { fileWeight, type StreamedWeight, streamedWeight } from "../quantization/streamed.js";
import { readTensor } from "../runtime/host_data.js";
import type { ModelFiles } from "./model_files.js";

/** `file`: weights stay as a GGUF file has them. */
export type LoadQuantization = Scheme | "file";

type Stage = Pick<ModelFiles, "stage">;

/** A tensor of a GGUF file has its type and its bytes. */
type FileEntry = StateValue & { readonly stored?: string; readonly raw?: StoredTensor };

/**
 * Replaces the linear layers of `model`, which is on the meta device, and returns what its new parameters and buffers are read from.
 * @throws ArgumentError for schemes that need calibration data.
 */
export async function quantizeWhileLoading(
  op: string,
  model: Module,
  state: ReadonlyMap<string, StateValue>,
  quantization: LoadQuantization,
  files: Stage,
): Promise<Map<string, StateValue>> {
  if (quantization !== "file" && quantization.kind === "int8-static") {
    throw new ArgumentError("int8Static calibrates with the float model", {
      op,
      hint: "load it without quantization, then quantize(model, int8Static({ data }))",
    });
  }
  const linears = new Set<Tensor>();
  for (const { module } of modulesOf<Module>(model)) if (module instanceof Linear) linears.add(module.weight);
  // Schemes quantize tables where they are tied to a linear layer, whose memory they share; files have formats for all of them.
  const isChosen = (module: Module): module is Linear | Embedding =>
    module instanceof Linear ||
    (module instanceof Embedding && (quantization === "file" || linears.has(module.weight)));
  // The name under which the files have each weight, tied ones included.
  const keyOf = new Map<Tensor, string>();
  for (const [name, tensor] of model.stateDict()) if (state.has(name)) keyOf.set(tensor, name);
  const keys = new Map<string, { readonly weight: string; readonly bias: string | undefined }>();
  for (const { name, module } of modulesOf<Module>(model)) {
    if (!isChosen(module)) continue;
    const bias = module instanceof Linear ? module.bias : undefined;
    keys.set(name, { weight: keyOf.get(module.weight)!, bias: bias && keyOf.get(bias) });
  }
  if (quantization === "file") {
    keepFormats(model, (name) => state.get(keys.get(name)?.weight ?? ""));
  } else await quantize(model, quantization, { filter: (_, module) => isChosen(module) });
  const made = new Map<string, [string, StateValue][]>();
  const known = new Set<Tensor>();
  for (const { name, prefix, module } of modulesOf<Module>(model)) {
    if (!(module instanceof QuantizedLayer)) continue;
    const { weight: key, bias } = keys.get(name)!;
    const entries = made.get(key) ?? [];
    made.set(key, entries);
    // A tied bias becomes the layer's own.
    if (bias !== undefined && bias !== `${prefix}.bias`) entries.push([`${prefix}.bias`, state.get(bias)!]);
    if (known.has(module.weight)) continue;
    known.add(module.weight);
    const parts = partsOf(state.get(key)!, module, quantization, files);
    for (const [part, value] of Object.entries(parts)) entries.push([`${prefix}.${part}`, value]);
  }
  const wanted = model.stateDict();
  const result = new Map<string, StateValue>();
  for (const [key, value] of state) {
    const isQuantized = made.get(key)?.some(([name]) => name === key);
    if (wanted.has(key) && !isQuantized) result.set(key, value);
    for (const [name, entry] of made.get(key) ?? []) result.set(name, entry);
  }
  return result;
}

/**
 * Gives linear layers and tables the formats of a file: Q4_0, Q4_1, Q8_0 and halves as they are, other quantized types as int8 with a
 * scale for each row. Those whose tensor is float32 stay.
 */
function keepFormats(model: Module, entryOf: (name: string) => FileEntry | undefined): void {
  const formatIn = (name: string) => keptFormat(entryOf(name)?.stored ?? "F32");
  const layers = new Map<string, Linear | Embedding>();
  for (const { name, module } of modulesOf<Module>(model)) {
    if (!(module instanceof Linear || module instanceof Embedding)) continue;
    if (formatIn(name) !== undefined) layers.set(name, module);
  }
  const made = replacementsOf(layers, (layer, name) => {
    const format = formatIn(name)!;
    const [n, k] = layer.weight.shape;
    const groups = weightFormats[format].scaled === "group" ? { groupSize: blockSize } : {};
    const weight = allocateWeight({ format, shape: [n, k], ...groups }, layer.weight.device);
    if (layer instanceof Embedding) return new QuantizedEmbedding(weight);
    return QuantizedLinear.fromWeight(weight, layer.bias ? { bias: copied(layer.bias) } : {});
  });
  for (const [name, layer] of made) replaceModule(model, name, layer);
}

/** What a layer's weight, scales and minimums are read from. */
function partsOf(
  value: FileEntry,
  { description: { format, shape } }: QuantizedLayer,
  quantization: LoadQuantization,
  files: Stage,
): StreamedWeight {
  const [n, k] = shape;
  const name = formatName(format);
  const { stored, raw } = value;
  if (quantization === "file" && raw && name === keptFormat(stored!) && name !== "int8") {
    const weightOf = (bytes: Uint8Array, rows: number) => weightInBlocks(name, bytes, rows, k);
    return fileWeight(raw, [n, k], { name, groupSize: blockSize }, weightOf);
  }
  const floats = storedOf(value);
  if ("dtype" in format) return { weight: staged(encoded(floats, format.dtype), files) };
  const parts = streamedWeight(floats, format);
  return { ...parts, weight: staged(parts.weight, files) };
}

/** A tensor of a file, float32 as it is read, as halves: a piece at a time. */
function encoded(stored: StoredTensor, dtype: FloatFormat["dtype"]): StoredTensor {
  if (dtype === "float32") return stored;
  const encode = dtype === "float16" ? encodeFloat16 : encodeBfloat16;
  return {
    ...stored,
    dtype,
    data: async () => encode((await stored.data()) as Float32Array),
    async *pieces() {
      for await (const piece of stored.pieces()) yield encode(piece as Float32Array);
    },
  };
}

/** Tells of the stage while a weight is read. */
function staged(weight: StoredTensor, files: Stage): StoredTensor {
  return {
    ...weight,
    async *pieces() {
      files.stage = "quantize";
      try {
        yield* weight.pieces();
      } finally {
        files.stage = "load";
      }
    },
  };
}

/** A value as a tensor of a file; initial values of a device are read when they are needed. */
function storedOf(value: StateValue): StoredTensor {
  if (!(value instanceof Tensor) && "pieces" in value) return value;
  const data = async () => (value instanceof Tensor ? readTensor(value) : value.data);
  return {
    dtype: value.dtype,
    shape: value.shape,
    data,
    async *pieces() {
      yield await data();
    },
  };
}
