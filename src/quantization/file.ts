/**
 * Quantized models to and from safetensors. Weights are whole numbers in PyTorch's order (I8 [out, in] or [O, C/groups, KH, KW]; 4
 * bits: U8 [out, in/2], the first of two in the low half, 0..15, `in` rounded up to whole groups), or halves (F16, BF16); not the
 * kernels' layout. `scale` is F32 [out], or of groups [out, in/groupSize]; `minimums` of groups are F32, or U8 where they are zero
 * points. Formats and inputs are JSON in the metadata.
 */

import { anObject, check, type Kind } from "../core/check.js";
import type { DType, TypedArray } from "../core/dtype.js";
import { encodeBfloat16, encodeFloat16 } from "../core/half.js";
import { formatShape, type Shape, sameShape } from "../core/shape.js";
import {
  type FloatFormat,
  formatName,
  type HostWeight,
  type QuantizedFormat,
} from "../core/weight_format.js";
import type { Device } from "../device/device.js";
import { type DeviceChoice, deviceNamed } from "../device/select.js";
import type { HostTensor } from "../formats/host.js";
import type { Tensor } from "../graph/tensor.js";
import { bytesOf, unpackConv } from "../kernels/unpack.js";
import { Identity } from "../nn/activation.js";
import { requireModule } from "../nn/check.js";
import { Conv2d } from "../nn/conv.js";
import { Embedding } from "../nn/embedding.js";
import { join } from "../nn/fields.js";
import { Linear } from "../nn/linear.js";
import type { Module } from "../nn/module.js";
import { BatchNorm2d } from "../nn/normalization.js";
import { byTensor, isPersistent, modulesOf, stateOf } from "../nn/state.js";
import { leaf, overwrite, readExact } from "../runtime/host_data.js";
import { QuantizedConv2d } from "./conv.js";
import { QuantizedEmbedding } from "./embedding.js";
import { damaged, type LayerRecord, parseRecord, recordOf, writeRecord } from "./file_record.js";
import { addBias } from "./fold.js";
import { downloadWeight, uploadWeight } from "./host_weight.js";
import { packedParts, QuantizedLayer } from "./layer.js";
import { QuantizedLinear } from "./linear.js";
import { replaceModule, replacementsOf, retire } from "./replace.js";
import { weightLevels, wholeGroups } from "./weights.js";

/** The key of the metadata. */
const metadataKey = "quantization";

/** Tensors and metadata of a quantized model, as in its safetensors file. */
export interface QuantizedState {
  readonly tensors: ReadonlyMap<string, HostTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

const aState: Kind = [
  "what readSafetensors or quantizedState returns",
  (value) => {
    const { tensors, metadata } = (value ?? {}) as Partial<QuantizedState>;
    return tensors instanceof Map && anObject[1](metadata);
  },
];

/**
 * Whether a file's metadata describe a quantized model.
 *
 * @example
 * isQuantizedFile({}); // false
 */
export function isQuantizedFile(metadata: Readonly<Record<string, string>>): boolean {
  check("isQuantizedFile", "the metadata", metadata, anObject);
  return metadata[metadataKey] !== undefined;
}

/**
 * The tensors and metadata of a quantized model, as `writeSafetensors` takes them.
 *
 * @example
 * const model = new Sequential(new Linear(32, 4));
 * await quantize(model, int8Dynamic());
 * const { tensors, metadata } = await quantizedState(model);
 * isQuantizedFile(metadata); // true
 * tensors.get("0.weight")!.dtype; // "int8"
 */
export async function quantizedState(model: Module): Promise<QuantizedState> {
  requireModule("quantizedState", model);
  const tensors = new Map<string, HostTensor>();
  const layers: Record<string, LayerRecord> = {};
  const parts = new Map<Tensor, HostTensor>();
  const folded: string[] = [];
  for (const [name, module] of model.namedModules()) {
    if (module instanceof Identity) folded.push(name);
    if (!(module instanceof QuantizedLayer)) continue;
    layers[name] = recordOf(module);
    if (parts.has(module.weight)) continue;
    for (const [tensor, inFile] of await weightInFile(module)) parts.set(tensor, inFile);
  }
  // A tied tensor once, under its first name.
  for (const [tensor, [{ name }]] of byTensor(stateOf(model).filter(isPersistent))) {
    const { dtype, shape } = tensor;
    tensors.set(name, parts.get(tensor) ?? { dtype, shape, data: await readExact(tensor) });
  }
  return { tensors, metadata: { [metadataKey]: writeRecord(layers, folded) } };
}

/** The tensors of a layer's weight in a file, by the layer's tensors. */
async function weightInFile(layer: QuantizedLayer): Promise<ReadonlyMap<Tensor, HostTensor>> {
  const { weight, scale, minimums, description } = layer;
  const { shape, format, groups = 1 } = description;
  if ("dtype" in format) return new Map();
  if (shape.length === 4) {
    const data = unpackConv(bytesOf(await readExact(weight)), { shape, groups }, format);
    return new Map([[weight, { dtype: "int8", shape, data }]]);
  }
  const host = await downloadWeight(layer.deviceWeight);
  const { values, scales, zeroPoints, minimums: least } = host;
  const [n, k] = shape;
  const result = new Map<Tensor, HostTensor>([
    [
      weight,
      format.bits === 4
        ? { dtype: "uint8", shape: [n, k / 2], data: values }
        : { dtype: "int8", shape, data: values },
    ],
  ]);
  if (format.groupSize === undefined) return result;
  const ofGroups = [n, k / format.groupSize];
  result.set(scale!, { dtype: "float32", shape: ofGroups, data: scales! });
  if (zeroPoints) result.set(minimums!, { dtype: "uint8", shape: ofGroups, data: zeroPoints });
  else if (least) result.set(minimums!, { dtype: "float32", shape: ofGroups, data: least });
  return result;
}

/**
 * Turns `model`, an architecture with float layers, into the quantized model of a file, on the device `target` (default "auto"):
 * quantized layers and folded batch norms are replaced, all values are loaded. Build the model on the meta device, so that its
 * weights never exist as float32. If the file does not match, the model stays unchanged.
 *
 * @example
 * const model = new Sequential(new Linear(32, 4));
 * await quantize(model, int8Dynamic());
 * const state = await quantizedState(model);
 * const loaded = await loadQuantized(new Sequential(new Linear(32, 4, { device: openMeta() })), state, "wasm");
 * loaded.forward(zeros([1, 32])).shape; // [1, 4]
 *
 * @throws FormatError for metadata or tensors that are damaged or do not fit the model.
 */
export async function loadQuantized<M extends Module>(
  model: M,
  state: QuantizedState,
  target: Device | DeviceChoice = "auto",
): Promise<M> {
  const op = "loadQuantized";
  requireModule(op, model);
  const { tensors, metadata } = check(op, "the state", state, aState);
  const device = await deviceNamed(op, target);
  const { layers, folded } = parseRecord(metadata[metadataKey]);
  const modules = new Map(model.namedModules());
  const prefixes = new Map([...modulesOf(model)].map(({ name, prefix }) => [name, prefix]));
  const used = new Set<string>();
  // Everything is looked at before anything is changed.
  const found = [...layers].map(([name, record]) => {
    const layer = modules.get(name);
    if (!(layer instanceof Linear) && !(layer instanceof Conv2d) && !(layer instanceof Embedding)) {
      throw damaged(`the model has no linear layer or convolution ${name}`);
    }
    const tied = [...layers.keys()].filter((other) => {
      const module = modules.get(other) as { weight?: Tensor } | undefined;
      return other !== name && module?.weight === layer.weight;
    });
    const places = [name, ...tied].map((place) => prefixes.get(place)!);
    return { name, layer, record, tensors: tensorsOf(places, record, layer, tensors, used) };
  });
  const rest = new Map([...tensors].filter(([name]) => !used.has(name)));
  for (const name of folded) {
    const module = modules.get(name);
    if (!(module instanceof BatchNorm2d) && !(module instanceof Identity)) {
      throw damaged(`the model has no batch norm ${name}`);
    }
  }
  // Convolutions that stayed float, for their sensitivity, have got a bias if a batch norm was folded into them.
  const unbiased = [...modules].flatMap(([name, module]) => {
    const key = join(prefixes.get(name)!, "bias");
    if (!(module instanceof Conv2d) || module.bias || layers.has(name) || !rest.has(key)) return [];
    const { weight } = module;
    requireTensor(rest, key, "float32", [weight.shape[0]]);
    return [{ key, module, zeros: new Float32Array(weight.shape[0]) }];
  });
  const replaced = new Set(
    [...layers.keys(), ...folded].flatMap((name) =>
      stateOf(modules.get(name)!).map((entry) => join(prefixes.get(name)!, entry.name)),
    ),
  );
  const persistent = stateOf(model).filter((entry) => isPersistent(entry) && !replaced.has(entry.name));
  for (const [{ dtype, shape }, places] of byTensor(persistent)) {
    const names = places.map(({ name }) => name);
    const there = names.filter((name) => rest.has(name));
    for (const name of there.length > 0 ? there : [names[0]]) requireTensor(rest, name, dtype, shape);
  }
  const known = new Set([...persistent.map(({ name }) => name), ...unbiased.map(({ key }) => key)]);
  for (const name of rest.keys()) if (!known.has(name)) throw damaged(`the model has no tensor ${name}`);

  const parts = new Map(found.map((part) => [part.name, part]));
  const made = replacementsOf(new Map(found.map(({ name, layer }) => [name, layer])), (layer, name) => {
    const { record, tensors: own } = parts.get(name)!;
    return layerOf(layer, record, own, device);
  });
  for (const [name, layer] of made) replaceModule(model, name, layer);
  for (const name of folded) replaceModule(model, name, new Identity());
  retire(model, [...found.map(({ layer }) => layer), ...folded.map((name) => modules.get(name)!)]);
  for (const { module, zeros } of unbiased) addBias(module, zeros);
  await model.loadStateDict(rest, { strict: false, assign: device });
  return model;
}

type Quantizable = Linear | Conv2d | Embedding;

interface LayerTensors {
  readonly weight: HostTensor;
  readonly scale?: HostTensor;
  /** Of 4-bit groups with an offset: minimums, float32, or zero points, uint8. */
  readonly minimums?: HostTensor;
  readonly bias?: HostTensor;
  readonly offset?: HostTensor;
}

/**
 * Finds a layer's tensors and adds their names to `used`. `places`: prefixes of the layer and of those that its weight is tied to;
 * what they share is in the file under one of them.
 *
 * @throws FormatError if one is missing, of another kind, or holds what it cannot.
 */
function tensorsOf(
  places: readonly string[],
  record: LayerRecord,
  { weight: { shape } }: Quantizable,
  tensors: ReadonlyMap<string, HostTensor>,
  used: Set<string>,
): LayerTensors {
  const [name] = places;
  const take = (part: string, dtype: DType, wanted: Shape): HostTensor => {
    const keys = places.map((place) => join(place, part));
    const key = keys.find((place) => tensors.has(place)) ?? keys[0];
    used.add(key);
    return requireTensor(tensors, key, dtype, wanted);
  };
  const { groupSize, bias, input } = record;
  const out = [shape[0]];
  if (shape.length !== 2 && (groupSize !== undefined || "dtype" in record)) {
    throw damaged(`${name}: ${formatName(record)} does not fit a weight of shape ${formatShape(shape)}`);
  }
  if (shape.length === 4 && input.kind === "float") throw damaged(`${name}: convolutions take int8 inputs`);
  const rest = {
    ...(bias && { bias: take("bias", "float32", out) }),
    ...(input.kind === "static" && input.zeroPoint !== 0 && { offset: take("offset", "int32", out) }),
  };
  if ("dtype" in record) {
    // Readers of files may have widened halves, which encoding undoes exactly.
    const isWide = places.some((place) => tensors.get(join(place, "weight"))?.dtype === "float32");
    const stored = take("weight", isWide ? "float32" : record.dtype, shape);
    return { weight: narrowed(stored, record.dtype), ...rest };
  }
  const columns = groupSize === undefined ? shape[1] : wholeGroups(shape[1], groupSize);
  const factors = groupSize === undefined ? out : [shape[0], columns / groupSize];
  const { offset } = record;
  const found = {
    weight:
      record.bits === 4
        ? take("weight", "uint8", [shape[0], columns / 2])
        : take("weight", "int8", shape.with(1, columns)),
    scale: take("scale", "float32", factors),
    ...(offset && { minimums: take("minimums", offset === "minimum" ? "float32" : "uint8", factors) }),
    ...rest,
  };
  requireLevels(name, found.weight.data, record.bits);
  for (const scale of found.scale.data) {
    // Those of groups may be negative, as in GGUF.
    if (!Number.isFinite(scale) || (groupSize === undefined && scale < 0)) {
      throw damaged(`${name}: a scale of ${scale}`);
    }
  }
  for (const least of found.minimums?.data ?? []) {
    if (!Number.isFinite(least) || (offset === "zeroPoint" && least > 15)) {
      throw damaged(`${name}: a ${offset === "minimum" ? "minimum" : "zero point"} of ${least}`);
    }
  }
  return found;
}

/** A weight as floats of `dtype`. */
function narrowed({ dtype: stored, shape, data }: HostTensor, dtype: FloatFormat["dtype"]): HostTensor {
  if (stored !== "float32") return { dtype, shape, data };
  const floats = floatsOf({ data });
  if (dtype === "float32") return { dtype, shape, data: floats };
  return { dtype, shape, data: dtype === "float16" ? encodeFloat16(floats) : encodeBfloat16(floats) };
}

/** @throws FormatError */
function requireTensor(
  tensors: ReadonlyMap<string, HostTensor>,
  name: string,
  dtype: DType,
  shape: Shape,
): HostTensor {
  const tensor = tensors.get(name);
  if (tensor === undefined) throw damaged(`there is no tensor ${name}`);
  if (tensor.dtype === dtype && sameShape(tensor.shape, shape)) return tensor;
  throw damaged(
    `${name} is ${tensor.dtype} ${formatShape(tensor.shape)}, not ${dtype} ${formatShape(shape)}`,
  );
}

/** Weights of 7 bits beyond their range would saturate in kernels. */
function requireLevels(name: string, values: TypedArray, bits: QuantizedFormat["bits"]): void {
  if (bits !== 7) return;
  const most = weightLevels[bits];
  const bad = values.find((value) => Math.abs(value) > most);
  if (bad !== undefined) throw damaged(`${name}: a weight of ${bad}, more than 7 bits`);
}

function layerOf(
  layer: Quantizable,
  record: LayerRecord,
  { weight, scale, minimums, bias, offset }: LayerTensors,
  device: Device,
): QuantizedLayer {
  const upload = ({ dtype, shape, data }: HostTensor) => leaf(device, dtype, shape, data);
  const { input, groupSize } = record;
  const rest = { ...(bias && { bias: upload(bias) }), ...(offset && { offset: upload(offset) }), input };
  if (layer instanceof Conv2d) {
    const { bits } = record as QuantizedFormat;
    const { options } = layer;
    const values = upload(weight);
    const parts = { values, scale: upload(scale!), quantization: { bits, groups: options.groups } };
    const made = new QuantizedConv2d({ weight: packedParts(parts), ...rest }, options);
    // Packed by now.
    values.storage?.dispose();
    return made;
  }
  const [n, columns] = weight.shape;
  const least =
    minimums &&
    (record.offset === "minimum" ? { minimums: floatsOf(minimums) } : { zeroPoints: bytesIn(minimums) });
  const host: HostWeight = {
    format: formatName(record),
    shape: [n, record.bits === 4 ? 2 * columns : columns],
    values: weight.data as HostWeight["values"],
    ...(scale && { scales: floatsOf(scale) }),
    ...(groupSize !== undefined && { groupSize }),
    ...least,
  };
  const made = uploadWeight(host, device);
  // A state of the reference device, which is not from a file, has scales of float64.
  if (scale && groupSize === undefined) overwrite(made.scale!, scale.data);
  const width = layer.weight.shape[1];
  return layer instanceof Embedding
    ? new QuantizedEmbedding(made, width)
    : new QuantizedLinear({ weight: made, ...rest }, width);
}

function floatsOf({ data }: Pick<HostTensor, "data">): Float32Array {
  return data instanceof Float32Array ? data : Float32Array.from(data);
}

function bytesIn({ data }: HostTensor): Uint8Array {
  return data as Uint8Array;
}
