/**
 * IEEE 754 binary16 ("half") and bfloat16, to and from float32. Widening is exact, NaN payloads included;
 * narrowing rounds to nearest, ties to even, and overflows to infinity. Both work on the bits, because
 * `Float16Array` is not there in every engine that runs wattgrad.
 */
import { check, type Kind } from "./check.js";
import type { HalfDType } from "./dtype.js";

const bits16: Kind = ["a Uint16Array", (value) => value instanceof Uint16Array];
const floats: Kind = ["a Float32Array", (value) => value instanceof Float32Array];

const f32ExponentMask = 0x7f800000;
/** 65520, halfway between the largest half (65504) and the next power of two: from here on a half is infinite. */
const f32HalfOverflow = 0x477ff000;
/** 2^-14, the smallest normal half. */
const f32HalfNormal = 0x38800000;
/** 2^-25, half of the smallest subnormal half; ties to even, so it becomes 0 and everything above does not. */
const f32HalfUnderflow = 0x33000000;
/** (127 - 15) << 23: the difference of the exponent biases. */
const biasDifference = 0x38000000;

/**
 * Widens binary16 bit patterns to float32, exactly. Writes to `into`, of the same length, if given.
 *
 * @example
 * decodeFloat16(Uint16Array.of(0x3c00, 0xc000)); // [1, -2]
 */
export function decodeFloat16(halves: Uint16Array, into?: Float32Array): Float32Array {
  check("decodeFloat16", "the argument", halves, bits16);
  const result = into ?? new Float32Array(halves.length);
  check("decodeFloat16", "the result", result, floats);
  const bits = new Uint32Array(result.buffer, result.byteOffset, result.length);
  for (let i = 0; i < halves.length; i++) {
    const half = halves[i];
    const sign = (half & 0x8000) << 16;
    const exponent = (half >>> 10) & 0x1f;
    const mantissa = half & 0x3ff;
    if (exponent === 0x1f) bits[i] = sign | f32ExponentMask | (mantissa << 13);
    else if (exponent !== 0) bits[i] = sign | (((half & 0x7fff) << 13) + biasDifference);
    else if (mantissa !== 0) {
      // A subnormal half is a normal float32: its leading one moves to bit 10, and the exponent follows.
      const shift = Math.clz32(mantissa) - 21;
      bits[i] = sign | ((113 - shift) << 23) | (((mantissa << shift) & 0x3ff) << 13);
    } else bits[i] = sign;
  }
  return result;
}

/**
 * Rounds float32 to binary16 bit patterns, to nearest, ties to even; overflow gives infinity.
 *
 * @example
 * encodeFloat16(Float32Array.of(1, -2)); // [15360, 49152]
 */
export function encodeFloat16(values: Float32Array): Uint16Array {
  check("encodeFloat16", "the argument", values, floats);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const result = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) {
    result[i] = ((bits[i] >>> 16) & 0x8000) | halfMagnitude(bits[i] & 0x7fffffff);
  }
  return result;
}

function halfMagnitude(magnitude: number): number {
  if (magnitude > f32ExponentMask) return 0x7e00 | ((magnitude >>> 13) & 0x3ff);
  if (magnitude >= f32HalfOverflow) return 0x7c00;
  if (magnitude >= f32HalfNormal) {
    const rebiased = magnitude - biasDifference;
    return (rebiased + 0xfff + ((rebiased >>> 13) & 1)) >>> 13;
  }
  if (magnitude <= f32HalfUnderflow) return 0;
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const shift = 126 - (magnitude >>> 23);
  const truncated = mantissa >>> shift;
  return (mantissa + (1 << (shift - 1)) - 1 + (truncated & 1)) >>> shift;
}

/**
 * Widens bfloat16 bit patterns (the upper half of a float32) to float32, exactly. Writes to `into`, of the same length, if given.
 *
 * @example
 * decodeBfloat16(Uint16Array.of(0x3f80)); // [1]
 */
export function decodeBfloat16(values: Uint16Array, into?: Float32Array): Float32Array {
  check("decodeBfloat16", "the argument", values, bits16);
  const result = into ?? new Float32Array(values.length);
  check("decodeBfloat16", "the result", result, floats);
  const bits = new Uint32Array(result.buffer, result.byteOffset, result.length);
  for (let i = 0; i < values.length; i++) bits[i] = values[i] << 16;
  return result;
}

/**
 * Rounds float32 to bfloat16 bit patterns, to nearest, ties to even; overflow gives infinity.
 *
 * @example
 * encodeBfloat16(Float32Array.of(1)); // [16256]
 */
export function encodeBfloat16(values: Float32Array): Uint16Array {
  check("encodeBfloat16", "the argument", values, floats);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const result = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) {
    const value = bits[i];
    const nan = (value & 0x7fffffff) > f32ExponentMask;
    // Rounding could carry a NaN into infinity, so a NaN is truncated and made quiet.
    result[i] = nan ? (value >>> 16) | 0x40 : (value + 0x7fff + ((value >>> 16) & 1)) >>> 16;
  }
  return result;
}

/** Widens the bits of halves to float32, exactly; into `into`, which has as many elements, if it is given. */
export function decodeHalves(dtype: HalfDType, bits: Uint16Array, into?: Float32Array): Float32Array {
  return dtype === "float16" ? decodeFloat16(bits, into) : decodeBfloat16(bits, into);
}

/** The bits of the nearest halves, ties to even. */
export function encodeHalves(dtype: HalfDType, values: Float32Array): Uint16Array {
  return dtype === "float16" ? encodeFloat16(values) : encodeBfloat16(values);
}

/** The nearest number that a half can be. */
export function roundToHalf(dtype: HalfDType, value: number): number {
  return decodeHalves(dtype, encodeHalves(dtype, Float32Array.of(value)))[0];
}
