/** The schemes of quantization, in torchao's words. */
import {
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

/**
 * Batches for calibration: tensors, lists whose first is the model's input, as a DataLoader gives them, or with `forward` anything.
 */
export type Batches<Batch = unknown> = AsyncIterable<Batch> | Iterable<Batch>;

/** Runs a model on a batch. Default: `model.forward(batch)`, of a list `model.forward(batch[0])`. */
export type Forward<Batch> = (model: Module, batch: Batch) => unknown;

export interface Calibration<Batch = unknown> {
  readonly data: Batches<Batch>;
  /** For models and batches of another form: `(model, { inputIds, ...masks }) => model.forward(inputIds, masks)`. */
  readonly forward?: Forward<Batch>;
  /** Batches to look at. Default 16. */
  readonly batches?: number;
  /** How ranges come of what was seen. Default "histogram". */
  readonly observer?: ObserverName;
}

/** A calibration whose batches are not known. */
export type AnyCalibration = Omit<Calibration, "forward"> & { readonly forward?: Forward<never> };

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
  readonly calibration: AnyCalibration | undefined;
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
export function int8Dynamic(options: WeightOptions = {}): Int8Dynamic {
  const { weightBits = 8 } = checkOptions("int8Dynamic", options, weightOptions);
  return { kind: "int8-dynamic", weightBits: requireBits(weightBits, "int8Dynamic") };
}

/**
 * For linear layers and convolutions: the fastest to run.
 * @example
 * await quantize(model, int8Static({ data: loader, batches: 8 }));
 */
export function int8Static<Batch>(calibration?: Calibration<Batch>, options: WeightOptions = {}): Int8Static {
  checkOptions("int8Static", calibration, calibrationOptions);
  const { weightBits = 8 } = checkOptions("int8Static", options, weightOptions);
  return { kind: "int8-static", weightBits: requireBits(weightBits, "int8Static"), calibration };
}

/** For linear layers: a quarter of the memory, activations as they are. */
export function int8WeightOnly(options: WeightOptions = {}): Int8WeightOnly {
  const { weightBits = 8 } = checkOptions("int8WeightOnly", options, weightOptions);
  return { kind: "int8-weight-only", weightBits: requireBits(weightBits, "int8WeightOnly") };
}

export interface Int4Options {
  /** Values along a row that share a scale: a multiple of 32. A row's last group may be shorter. Default 32. */
  readonly groupSize?: number;
}

const int4Options: Kinds<Int4Options> = { groupSize: aNumber };

/** @throws ArgumentError for anything that none of the functions above returns. */
export function requireScheme(op: string, scheme: Scheme): void {
  check(op, "the scheme", scheme, [
    "a scheme: int8Dynamic(), int8Static({ data }), int8WeightOnly() or int4WeightOnly()",
    (value) => typeof (value as Partial<Scheme> | undefined | null)?.kind === "string",
  ]);
}

/** For linear layers: 5 bits for each weight with groups of 32. */
export function int4WeightOnly(options: Int4Options = {}): Int4WeightOnly {
  const { groupSize = 32 } = checkOptions("int4WeightOnly", options, int4Options);
  if (!Number.isInteger(groupSize) || groupSize < 32 || groupSize % 32 !== 0) {
    throw new ArgumentError(`the group size is a multiple of 32, got ${groupSize}`, { op: "int4WeightOnly" });
  }
  return { kind: "int4-weight-only", weightBits: 4, groupSize };
}
