/**
 * Deterministic inputs for the cases. test/fixtures/generate.py computes the same numbers, so that the fixtures
 * need to hold results only. Every float is a float32 number: all devices and PyTorch start from equal values.
 */

import { type DType, isHalf, newArray, type TypedArray } from "../../src/core/dtype.js";
import { encodeHalves } from "../../src/core/half.js";
import type { Shape } from "../../src/core/shape.js";
import { sizeOf } from "../../src/core/shape.js";

/** How an input's elements are chosen. */
export type Values =
  /** Between two numbers, at least `kinkDistance` away from those in `avoid`. */
  | { readonly between: readonly [number, number]; readonly avoid?: readonly number[] }
  /** Whole numbers from the first bound up to but not including the second. */
  | { readonly integers: readonly [number, number] }
  /** These, again and again. */
  | { readonly list: readonly number[] };

/** Numeric derivatives step by 1e-6; a kink this far away does not touch them. */
const kinkDistance = 0.01;

/** FNV-1a (Fowler, Noll and Vo): a seed from a name. */
export function seedOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** Number `index` of the stream `seed`, uniform in [0, 1) with 24 bits: MurmurHash3's finalizer of a counter. */
export function uniform(seed: number, index: number): number {
  let h = (seed + Math.imul(index, 0x9e3779b9)) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) >>> 8) / 2 ** 24;
}

export function generate(name: string, shape: Shape, dtype: DType, values: Values): TypedArray {
  const seed = seedOf(name);
  const result = newArray(isHalf(dtype) ? "float32" : dtype, sizeOf(shape));
  for (let i = 0; i < result.length; i++) result[i] = element(values, seed, i);
  return isHalf(dtype) ? encodeHalves(dtype, result as Float32Array) : result;
}

function element(values: Values, seed: number, i: number): number {
  if ("list" in values) return values.list[i % values.list.length];
  const u = uniform(seed, i);
  if ("integers" in values) {
    const [low, high] = values.integers;
    return low + Math.floor(u * (high - low));
  }
  const [low, high] = values.between;
  let x = Math.fround(low + u * (high - low));
  for (const kink of values.avoid ?? []) {
    if (Math.abs(x - kink) < kinkDistance) x = Math.fround(kink + (x < kink ? -kinkDistance : kinkDistance));
  }
  return x;
}
