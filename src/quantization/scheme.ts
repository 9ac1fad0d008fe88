/** The schemes of quantization, in torchao's words. */
import {
  aBoolean,
  aCount,
  aFunction,
  aNumber,
  check,
  checkOptions,
  type Kind,
  type Kinds,
  oneOf,
} from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { Module } from "../nn/module.js";
import { type ObserverName, observerNames } from "./observers.js";

/** Batches for calibration: tensors, lists whose first element is the model's input (as of a DataLoader), or anything with `forward`. */
export type Batches<Batch = unknown> = AsyncIterable<Batch> | Iterable<Batch>;

/** Runs a model on a batch. Default: `model.forward(batch)`, for lists `model.forward(batch[0])`. */
export type Forward<Batch> = (model: Module, batch: Batch) => unknown;

/** Data from which `int8Static` derives the input ranges. */
export interface Calibration<Batch = unknown> {
  readonly data: Batches<Batch>;
  /** For models and batches of another form: `(model, { inputIds, ...masks }) => model.forward(inputIds, masks)`. */
  readonly forward?: Forward<Batch>;
  /** Number of batches to use. Default 16. */
  readonly batches?: number;
  /** How the range is derived from the observed values. Default "histogram". */
  readonly observer?: ObserverName;
}

/** A calibration whose batches are not known. */
export type AnyCalibration = Omit<Calibration, "forward"> & { readonly forward?: Forward<never> };

/** Options of int8 schemes. */
export interface WeightOptions {
  /** 8, or 7: a bit less precise, and faster where the engine has relaxed SIMD. Default 8. */
  readonly weightBits?: 8 | 7;
}

const weightOptions: Kinds<WeightOptions> = { weightBits: aNumber };
export const batches: Kind = [
  "batches: a DataLoader or a list of tensors",
  (value) =>
    Object(value) === value && (Symbol.asyncIterator in Object(value) || Symbol.iterator in Object(value)),
];
const calibrationOptions: Kinds<Calibration> = {
  data: batches,
  forward: aFunction,
  batches: aCount,
  observer: oneOf(...observerNames),
};

/** Weights int8 with a scale per output channel; activations int8 with a scale per row (image), computed at run time. */
export interface Int8Dynamic {
  readonly kind: "int8-dynamic";
  readonly weightBits: 8 | 7;
}

/** Weights int8 with a scale per output channel; activations int8 with one calibrated scale and zero point per layer. */
export interface Int8Static {
  readonly kind: "int8-static";
  readonly weightBits: 8 | 7;
  /** Undefined for quantization-aware training, which learns the ranges (see `prepare`). */
  readonly calibration: AnyCalibration | undefined;
}

/** Weights of linear layers int8 with a scale per output channel; activations stay float32. */
export interface Int8WeightOnly {
  readonly kind: "int8-weight-only";
  readonly weightBits: 8 | 7;
}

/**
 * Weights of linear layers int4 with a scale per group of values along a row. Inside the product, activations are rounded to int8 with
 * a scale per group, as in ggml.
 */
export interface Int4WeightOnly {
  readonly kind: "int4-weight-only";
  readonly weightBits: 4;
  readonly groupSize: number;
  /** Whether groups have a minimum. */
  readonly asymmetric: boolean;
}

/** Weights of linear layers float16 or bfloat16, 2 bytes each also in memory; activations stay float32. */
export interface HalfWeightOnly {
  readonly kind: "float16-weight-only" | "bfloat16-weight-only";
  readonly weightBits: 16;
}

/** A quantization scheme, as torchao names them. */
export type Scheme = Int8Dynamic | Int8Static | Int8WeightOnly | Int4WeightOnly | HalfWeightOnly;
/** The `kind` of a scheme. */
export type SchemeName = Scheme["kind"];

function requireBits(bits: number, op: string): 8 | 7 {
  if (bits !== 8 && bits !== 7) throw new ArgumentError(`weights have 8 or 7 bits, got ${bits}`, { op });
  return bits;
}

/**
 * int8 weights and activations with scales computed at run time, for linear layers and convolutions; needs no data.
 *
 * @example
 * int8Dynamic({ weightBits: 7 }); // { kind: "int8-dynamic", weightBits: 7 }
 */
export function int8Dynamic(options: WeightOptions = {}): Int8Dynamic {
  const { weightBits = 8 } = checkOptions("int8Dynamic", options, weightOptions);
  return { kind: "int8-dynamic", weightBits: requireBits(weightBits, "int8Dynamic") };
}

/**
 * int8 weights and activations with calibrated scales, for linear layers and convolutions: the fastest scheme.
 *
 * @example
 * const model = new Sequential(new Linear(32, 4));
 * await quantize(model, int8Static({ data: [randn([8, 32])] }));
 * model.modules[0] instanceof QuantizedLinear; // true
 *
 * @throws ArgumentError for options outside their domain.
 */
export function int8Static<Batch>(calibration?: Calibration<Batch>, options: WeightOptions = {}): Int8Static {
  checkOptions("int8Static", calibration, calibrationOptions);
  const { weightBits = 8 } = checkOptions("int8Static", options, weightOptions);
  return { kind: "int8-static", weightBits: requireBits(weightBits, "int8Static"), calibration };
}

/**
 * int8 weights with float32 activations, for linear layers: a quarter of the memory.
 *
 * @example
 * int8WeightOnly(); // { kind: "int8-weight-only", weightBits: 8 }
 */
export function int8WeightOnly(options: WeightOptions = {}): Int8WeightOnly {
  const { weightBits = 8 } = checkOptions("int8WeightOnly", options, weightOptions);
  return { kind: "int8-weight-only", weightBits: requireBits(weightBits, "int8WeightOnly") };
}

/** Options of `int4WeightOnly`. */
export interface Int4Options {
  /** Number of consecutive values of a row that share a scale, a multiple of 32; the last group may be shorter. Default 32. */
  readonly groupSize?: number;
  /**
   * True: each group has a scale and a minimum, and weights are minimum + 0..15 · scale, as in GGUF's Q4_1: 6 bits per weight with groups
   * of 32, and about half the rounding error. Default false: −7..7 times a scale.
   */
  readonly asymmetric?: boolean;
}

const int4Options: Kinds<Int4Options> = { groupSize: aNumber, asymmetric: aBoolean };

/** @throws ArgumentError for anything that none of the functions above returns. */
export function requireScheme(op: string, scheme: Scheme): void {
  check(op, "the scheme", scheme, [
    "a scheme: int8Dynamic(), int8Static({ data }), int8WeightOnly(), int4WeightOnly() or float16WeightOnly()",
    (value) => typeof (value as Partial<Scheme> | undefined | null)?.kind === "string",
  ]);
}

/**
 * int4 weights for linear layers: 5 bits per weight, scales included, with groups of 32.
 *
 * @example
 * int4WeightOnly(); // { kind: "int4-weight-only", groupSize: 32 }
 */
export function int4WeightOnly(options: Int4Options = {}): Int4WeightOnly {
  const { groupSize = 32, asymmetric = false } = checkOptions("int4WeightOnly", options, int4Options);
  if (!Number.isInteger(groupSize) || groupSize < 32 || groupSize % 32 !== 0) {
    throw new ArgumentError(`the group size is a multiple of 32, got ${groupSize}`, { op: "int4WeightOnly" });
  }
  return { kind: "int4-weight-only", weightBits: 4, groupSize, asymmetric };
}

/**
 * float16 weights with float32 activations, for linear layers: half the memory. Weights are widened a block at a time inside products;
 * beyond 65504 they become infinite.
 *
 * @example
 * float16WeightOnly(); // { kind: "float16-weight-only" }
 */
export function float16WeightOnly(): HalfWeightOnly {
  return { kind: "float16-weight-only", weightBits: 16 };
}

/**
 * bfloat16 weights with float32 activations, for linear layers: half the memory, the range of float32, three significant digits.
 *
 * @example
 * bfloat16WeightOnly(); // { kind: "bfloat16-weight-only" }
 */
export function bfloat16WeightOnly(): HalfWeightOnly {
  return { kind: "bfloat16-weight-only", weightBits: 16 };
}
