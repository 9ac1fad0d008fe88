/** Quantizes a model that has no weights yet, and the tensors of its files on their way to it. */
import "../ops/methods.js";
import { ArgumentError } from "../core/errors.js";
import { encodeBfloat16, encodeFloat16 } from "../core/half.js";
import type { FloatFormat } from "../core/weight_format.js";
import type { StoredTensor } from "../formats/host.js";
import { Tensor } from "../graph/tensor.js";
import { Embedding } from "../nn/embedding.js";
import { Linear } from "../nn/linear.js";
import type { Module } from "../nn/module.js";
import { modulesOf } from "../nn/state.js";
import type { StateValue } from "../nn/state_values.js";
import { QuantizedLayer } from "../quantization/layer.js";
import { quantize } from "../quantization/quantize.js";
import type { Scheme } from "../quantization/scheme.js";
import { streamedWeight } from "../quantization/streamed.js";
import { readTensor } from "../runtime/host_data.js";
import type { ModelFiles } from "./model_files.js";

/**
 * Replaces the linear layers of `model`, which is on the meta device, and returns what its new parameters and buffers are read from.
 * @throws ArgumentError for schemes that need calibration data.
 */
export async function quantizeWhileLoading(
  op: string,
  model: Module,
  state: ReadonlyMap<string, StateValue>,
  scheme: Scheme,
  files: Pick<ModelFiles, "stage">,
): Promise<Map<string, StateValue>> {
  if (scheme.kind === "int8-static") {
    throw new ArgumentError("int8Static calibrates with the float model", {
      op,
      hint: "load it without quantization, then quantize(model, int8Static({ data }))",
    });
  }
  const linears = new Set<Tensor>();
  for (const { module } of modulesOf<Module>(model)) if (module instanceof Linear) linears.add(module.weight);
  // Tables are quantized where they are tied to a linear layer, whose memory they share.
  const isChosen = (module: Module): module is Linear | Embedding =>
    module instanceof Linear || (module instanceof Embedding && linears.has(module.weight));
  // The name under which the files have each weight, tied ones included.
  const keyOf = new Map<Tensor, string>();
  for (const [name, tensor] of model.stateDict()) if (state.has(name)) keyOf.set(tensor, name);
  const keys = new Map<string, { readonly weight: string; readonly bias: string | undefined }>();
  for (const { name, module } of modulesOf<Module>(model)) {
    if (!isChosen(module)) continue;
    const bias = module instanceof Linear ? module.bias : undefined;
    keys.set(name, { weight: keyOf.get(module.weight)!, bias: bias && keyOf.get(bias) });
  }
  await quantize(model, scheme, { filter: (_, module) => isChosen(module) });
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
    const { format } = module.description;
    const stored = storedOf(state.get(key)!);
    if ("dtype" in format) {
      entries.push([`${prefix}.weight`, staged(encoded(stored, format.dtype), files)]);
      continue;
    }
    const { weight, scale, minimums } = streamedWeight(stored, format);
    entries.push([`${prefix}.weight`, staged(weight, files)], [`${prefix}.scale`, scale]);
    if (minimums) entries.push([`${prefix}.minimums`, minimums]);
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
function staged(weight: StoredTensor, files: Pick<ModelFiles, "stage">): StoredTensor {
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
