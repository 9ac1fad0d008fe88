/** Deterministic input values, the same for all contenders and in every process. */

import { generator } from "../core/mulberry.js";

/** Uniform on [−0.5, 0.5). */
export function uniform(size: number, seed: number): Float32Array {
  const next = generator(seed);
  const values = new Float32Array(size);
  for (let i = 0; i < size; i++) values[i] = next() - 0.5;
  return values;
}

/** Standard normal values (Box and Muller). */
export function normal(size: number, seed: number): Float32Array {
  const next = generator(seed);
  const values = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    values[i] = Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  }
  return values;
}

/** Integers in [0, below). */
export function integers(size: number, below: number, seed: number): Int32Array {
  const next = generator(seed);
  const values = new Int32Array(size);
  for (let i = 0; i < size; i++) values[i] = Math.floor(next() * below);
  return values;
}

/** Integers in [−largest, largest]. */
export function signedBytes(size: number, largest: number, seed: number): Int8Array {
  const next = generator(seed);
  const values = new Int8Array(size);
  for (let i = 0; i < size; i++) values[i] = Math.floor(next() * (2 * largest + 1)) - largest;
  return values;
}

/** A doubly stochastic matrix, so that a thousand products of 4 × 4 matrices stay finite. */
export function spread(): Float32Array {
  return Float32Array.from({ length: 16 }, (_, i) => [0.4, 0.3, 0.2, 0.1][(i + (i >> 2)) % 4]);
}

/** Largest magnitude of quantized weights by bit width. */
export const largestOfBits = { 8: 127, 7: 63, 4: 7 } as const;
/** Scale of int8 inputs, which represent values in [−1, 1]. */
export const inputScale = 1 / 127;
/** Group size of 4-bit weights. */
export const groupSize = 32;
