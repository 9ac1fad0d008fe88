/** What a Program costs: exact floating-point operations and bytes, known when it is compiled. */

import { type DType, itemSize } from "../core/dtype.js";
import { sizeOf } from "../core/shape.js";
import type {
  AttentionCall,
  ConvCall,
  Cost,
  Expression,
  GatherCall,
  KernelCall,
  Operand,
  PoolCall,
  PoolGradCall,
  Program,
  QconvCall,
  ScatterAddCall,
} from "./kernel.js";
import { operandsOf } from "./operands.js";

const notArithmetic = new Set([
  "load",
  "constant",
  "scalar",
  "iota",
  "uniform",
  "cast",
  "where",
  "not",
  "and",
  "or",
  "xor",
]);

/** 2 per multiply-add of a product, of floats or integers; 1 per element for each arithmetic instruction, transcendental or not. */
export function flopsOf(call: KernelCall): number {
  switch (call.kernel) {
    case "map":
      return sizeOf(call.shape) * arithmetic(call.expression);
    case "reduce":
      return sizeOf(call.shape) * (arithmetic(call.expression) + 1);
    case "matmul":
      return 2 * sizeOf(call.output.view.shape) * (call.a.view.shape.at(-1) ?? 1);
    case "attention":
      return flopsOfAttention(call);
    case "conv":
    case "convGradInput":
    case "convGradWeight":
      return 2 * sizeOf(call.output.view.shape) * sizeOf(call.weight.view.shape.slice(1));
    case "qmatmul":
      return 2 * sizeOf(call.output.view.shape) * (call.input.view.shape.at(-1) ?? 1);
    case "qconv": {
      const perGroup = call.input.view.shape[1] / call.geometry.groups;
      return 2 * sizeOf(call.output.view.shape) * perGroup * sizeOf(call.kernelSize);
    }
    case "pool":
      return sizeOf(call.output.view.shape) * sizeOf(call.geometry.kernel);
    case "poolGrad":
      return sizeOf(call.gradOutput.view.shape) * sizeOf(call.geometry.kernel);
    case "scatterAdd":
      return sizeOf(call.shape);
    case "gather":
      return 0;
  }
}

/** Of the visible scores alone: the queries are scaled; each score is summed, masked and weighted; each row is divided. */
function flopsOfAttention({ q, v, mask, causal, output }: AttentionCall): number {
  const [length, width] = q.view.shape.slice(-2);
  const [keys, valueWidth] = v.view.shape.slice(-2);
  const rows = sizeOf(output.view.shape.slice(0, -1));
  const scores = causal ? (rows / Math.max(length, 1)) * visiblePairs(length, keys) : rows * keys;
  const added = mask?.dtype === "float32" ? 1 : 0;
  const softmax = 4; /* maximum, difference, exponential, sum */
  return rows * (width + valueWidth) + scores * (2 * (width + valueWidth) + added + softmax);
}

/** Of so many rows and keys, the pairs in which the key is not behind the row. */
function visiblePairs(rows: number, keys: number): number {
  const growing = Math.min(rows, keys);
  return (growing * (growing + 1)) / 2 + (rows - growing) * keys;
}

/** What of a device the bytes depend on: Stored has it. */
interface Stored {
  /** Bytes of a float32 element in its memory. Default 4. */
  readonly float32Bytes?: number;
}

function itemBytes(dtype: DType, { float32Bytes }: Stored): number {
  return dtype === "float32" ? (float32Bytes ?? itemSize.float32) : itemSize[dtype];
}

/** Bytes that the call has to read and write on such a device, each element of an operand counted once. */
export function bytesOf(call: KernelCall, stored: Stored): number {
  if (call.kernel === "gather" || call.kernel === "scatterAdd") return bytesOfIndexing(call, stored);
  if (call.kernel === "attention") return bytesOfAttention(call, stored);
  const { reads, writes } = operandsOf(call);
  const passedOver = "geometry" in call ? bytesPassedOver(call, stored) : 0;
  return (
    -passedOver + [...reads, ...writes].reduce((sum, operand) => sum + distinctBytes(operand, stored), 0)
  );
}

/** Without the keys, values and parts of the mask that causality hides from all rows. */
function bytesOfAttention({ q, k, v, mask, causal, output }: AttentionCall, stored: Stored): number {
  const distinct = (operand: Operand) => distinctBytes(operand, stored);
  const [length, keys] = [q.view.shape.at(-2)!, k.view.shape.at(-2)!];
  const seen = causal ? Math.min(length, keys) / keys : 1;
  const seenOf = (operand: Operand, along: number) =>
    distinct(operand) * (operand.view.strides.at(along) === 0 ? 1 : seen);
  const whole = distinct(q) + seenOf(k, -2) + seenOf(v, -2) + distinct(output);
  if (mask === undefined) return whole;
  const [rowStride, keyStride] = mask.view.strides.slice(-2);
  if (!causal || rowStride === 0 || keyStride === 0) return whole + seenOf(mask, -1);
  return whole + (distinct(mask) / (length * keys)) * visiblePairs(length, keys);
}

/** Bytes of the image that lie in no window, as the strides of a 1 × 1 convolution leave them out. */
function bytesPassedOver(call: ConvCall | QconvCall | PoolCall | PoolGradCall, stored: Stored): number {
  // Gradients of images are written everywhere.
  if (call.kernel === "convGradInput" || call.input === undefined) return 0;
  const output = call.kernel === "poolGrad" ? call.gradOutput : call.output;
  const window = windowOf(call);
  const { stride, padding } = call.geometry;
  const dilation = "dilation" in call.geometry ? call.geometry.dilation : [1, 1];
  const image = call.input.view.shape.slice(2);
  const touched = image.map((size, axis) => {
    const at = new Set<number>();
    for (let o = 0; o < output.view.shape[axis + 2]; o++) {
      for (let k = 0; k < window[axis]; k++) {
        const position = o * stride[axis] - padding[axis] + k * dilation[axis];
        if (position >= 0 && position < size) at.add(position);
      }
    }
    return at.size;
  });
  const planes = sizeOf(call.input.view.shape.slice(0, 2));
  return planes * (sizeOf(image) - sizeOf(touched)) * itemBytes(call.input.dtype, stored);
}

/** [height, width] */
function windowOf(call: ConvCall | QconvCall | PoolCall | PoolGradCall): readonly number[] {
  if (call.kernel === "qconv") return call.kernelSize;
  return "weight" in call ? call.weight.view.shape.slice(2) : call.geometry.kernel;
}

/** Only the elements that are picked are touched; those picked twice are read (and written) twice. */
function bytesOfIndexing(call: GatherCall | ScatterAddCall, stored: Stored): number {
  const picked = sizeOf(call.shape) * itemBytes(call.output.dtype, stored);
  const others = distinctBytes(call.index, stored);
  if (call.kernel === "gather") return picked + others + distinctBytes(call.output, stored);
  return distinctBytes(call.source, stored) + others + 2 * picked;
}

/** `alike` has an earlier call for those that cost the same. */
export function costOf(
  calls: readonly KernelCall[],
  stored: Stored,
  alike: Program["alike"] = new Map(),
): Cost {
  const known = new Map<KernelCall, Cost>();
  let flops = 0;
  let bytes = 0;
  for (const call of calls) {
    const first = alike.get(call) ?? call;
    let cost = known.get(first);
    if (cost === undefined) {
      cost = { flops: flopsOf(first), bytes: bytesOf(first, stored) };
      known.set(first, cost);
    }
    flops += cost.flops;
    bytes += cost.bytes;
  }
  return { flops, bytes };
}

function arithmetic({ instructions }: Expression): number {
  return instructions.filter(({ op }) => !notArithmetic.has(op)).length;
}

function distinctBytes({ dtype, view }: Operand, stored: Stored): number {
  return view.shape.reduce(
    (n, extent, i) => (view.strides[i] === 0 && extent > 0 ? n : n * extent),
    itemBytes(dtype, stored),
  );
}
