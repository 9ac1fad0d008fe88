/** The schemes of quantization, in torchao's words. */
import { ArgumentError } from "../tensor/errors.js";
import type { Tensor } from "../tensor/tensor.js";
import type { ObserverName } from "./observers.js";

/** Batches for calibration: tensors, or lists whose first is the model's input, as a DataLoader gives them. */
export type Batches = AsyncIterable<Tensor | readonly Tensor[]> | Iterable<Tensor | readonly Tensor[]>;

export interface Calibration {
  readonly data: Batches;
  /** Batches to look at. Default 16. */
  readonly batches?: number;
  /** How ranges come of what was seen. Default "histogram". */
  readonly observer?: ObserverName;
}

export interface WeightOptions {
  /** 8, or 7: a bit less precise, and faster where the engine has relaxed SIMD. Default 8. */
  readonly weightBits?: 8 | 7;
}

/** Weights int8 with a scale for each output channel; activations int8 with a scale for each row (image), found as they come. */
export interface Int8Dynamic {
  readonly kind: "int8-dynamic";
  readonly weightBits: 8 | 7;
}

/** Weights int8 with a scale for each output channel; activations int8 with one scale and zero point for each layer, calibrated. */
export interface Int8Static {
  readonly kind: "int8-static";
  readonly weightBits: 8 | 7;
  /** Undefined for training that expects quantization: then the ranges are learned (see `prepare`). */
  readonly calibration: Calibration | undefined;
}

/** Weights of linear layers int8 with a scale for each output channel; activations stay float32. */
export interface Int8WeightOnly {
  readonly kind: "int8-weight-only";
  readonly weightBits: 8 | 7;
}

/**
 * Weights of linear layers int4 with a scale for each group along a row. Activations are rounded to int8 inside the product,
 * with a scale for each group too, as ggml does.
 */
export interface Int4WeightOnly {
  readonly kind: "int4-weight-only";
  readonly weightBits: 4;
  readonly groupSize: number;
}

export type Scheme = Int8Dynamic | Int8Static | Int8WeightOnly | Int4WeightOnly;
export type SchemeName = Scheme["kind"];

function requireBits(bits: number, op: string): 8 | 7 {
  if (bits !== 8 && bits !== 7) throw new ArgumentError(`weights have 8 or 7 bits, got ${bits}`, { op });
  return bits;
}

/** For linear layers and convolutions; needs no data. */
export function int8Dynamic({ weightBits = 8 }: WeightOptions = {}): Int8Dynamic {
  return { kind: "int8-dynamic", weightBits: requireBits(weightBits, "int8Dynamic") };
}

/**
 * For linear layers and convolutions: the fastest to run.
 * @example
 * await quantize(model, int8Static({ data: loader, batches: 8 }));
 */
export function int8Static(calibration?: Calibration, { weightBits = 8 }: WeightOptions = {}): Int8Static {
  return { kind: "int8-static", weightBits: requireBits(weightBits, "int8Static"), calibration };
}

/** For linear layers: a quarter of the memory, activations as they are. */
export function int8WeightOnly({ weightBits = 8 }: WeightOptions = {}): Int8WeightOnly {
  return { kind: "int8-weight-only", weightBits: requireBits(weightBits, "int8WeightOnly") };
}

export interface Int4Options {
  /** Values along a row that share a scale: a multiple of 32. A row's last group may be shorter. Default 32. */
  readonly groupSize?: number;
}

/** For linear layers: 5 bits for each weight with groups of 32. */
export function int4WeightOnly({ groupSize = 32 }: Int4Options = {}): Int4WeightOnly {
  if (!Number.isInteger(groupSize) || groupSize < 32 || groupSize % 32 !== 0) {
    throw new ArgumentError(`the group size is a multiple of 32, got ${groupSize}`, { op: "int4WeightOnly" });
  }
  return { kind: "int4-weight-only", weightBits: 4, groupSize };
}
