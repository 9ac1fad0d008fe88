/** Floats of 16 bits, binary16 and bfloat16, to float32 (exactly) and back (to nearest, ties to even). */
import { Stored } from "./generated/agreement";

/** 2^-14, the smallest normal half. */
const smallestNormal: u32 = 0x38800000;

/**
 * Constants for widening binary16, in memory because V8 would rebuild a v128.const in every iteration: mask of the sign bit and of the
 * other 15 bits after their shift by 13; 2^112, for the difference of the exponent biases (127 and 15); 2^16, from which on results
 * belong to infinite and NaN halves; the exponent bits of infinity.
 */
const constants: usize = memory.data<u32>([0x8fffe000, 0x77800000, 0x47800000, 0x7f800000], 16);

/** Constant number i of `widenBinary16`. */
// @ts-ignore: decorator
@inline
export function constant(at: usize): v128 {
  return v128.load32_splat(constants + (at << 2));
}

/** Four bfloat16. */
// @ts-ignore: decorator
@inline
export function loadBfloat16(from: usize): v128 {
  return i32x4.shl(v128.load16x4_u(from), 16);
}

/** Widens sign-extended bits. The multiplication also normalizes subnormals; the exponent of infinities and NaN is set afterwards. */
// @ts-ignore: decorator
@inline
export function widenBinary16(bits: v128, mask: v128, factor: v128, beyond: v128, infinite: v128): v128 {
  const x = f32x4.mul(v128.and(i32x4.shl(bits, 13), mask), factor);
  return v128.or(x, v128.and(f32x4.ge(f32x4.abs(x), beyond), infinite));
}

/** One half as its bits. */
// @ts-ignore: decorator
@inline
function widened(format: i32, bits: i32): f32 {
  if (format == Stored.bfloat16) return reinterpret<f32>(bits << 16);
  const lanes = i32x4.splat((bits << 16) >> 16);
  return f32x4.extract_lane(widenBinary16(lanes, constant(0), constant(1), constant(2), constant(3)), 0);
}

/** One half. */
export function load1(format: i32, from: usize): f32 {
  return widened(format, load<u16>(from));
}

/** Widens `count` halves, `step` bytes apart, to contiguous floats. */
export function widen(format: i32, to: usize, from: usize, step: isize, count: i32): void {
  if (step == 2) {
    const mask = constant(0), factor = constant(1), beyond = constant(2), infinite = constant(3);
    for (; count >= 4; count -= 4) {
      const x = format == Stored.bfloat16
        ? loadBfloat16(from)
        : widenBinary16(v128.load16x4_s(from), mask, factor, beyond, infinite);
      v128.store(to, x);
      from += 8;
      to += 16;
    }
  }
  for (; count > 0; count--) {
    store<f32>(to, load1(format, from));
    from += step;
    to += 4;
  }
}

/** Narrows contiguous floats to halves that are `step` bytes apart. */
export function narrow(format: i32, to: usize, step: isize, from: usize, count: i32): void {
  for (; count > 0; count--) {
    store<u16>(to, narrowed(format, load<u32>(from)));
    from += 4;
    to += step;
  }
}

/** Rounds floats to the nearest halves, kept as float32. */
export function roundHalves(format: i32, to: usize, from: usize, count: i32): void {
  for (; count > 0; count--) {
    store<f32>(to, widened(format, narrowed(format, load<u32>(from))));
    from += 4;
    to += 4;
  }
}

/** The bits of the half nearest to a float, given its bits. */
function narrowed(format: i32, bits: u32): u32 {
  const size = bits & 0x7fffffff;
  const isNaN = size > 0x7f800000;
  if (format == Stored.bfloat16) return isNaN ? (bits >>> 16) | 0x40 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
  const sign = (bits >>> 16) & 0x8000;
  if (isNaN) return sign | 0x7e00 | ((size >>> 13) & 0x3ff);
  // From 65520 on, halfway between the largest half and the next power of two.
  if (size >= 0x477ff000) return sign | 0x7c00;
  const rebiased = size - 0x38000000;
  if (size >= smallestNormal) return sign | ((rebiased + 0xfff + ((rebiased >>> 13) & 1)) >>> 13);
  // The distance of float32 from 0.5 on is 2^-24, that of subnormal halves: the addition rounds.
  return sign | (reinterpret<u32>(reinterpret<f32>(size) + 0.5) - 0x3f000000);
}
