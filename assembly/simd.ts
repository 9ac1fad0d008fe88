/** SIMD primitives that differ between the two binaries or are shared by several kernels. */

/** a · b + c: one rounding in the relaxed binary (where the engine has FMA), two in the other. */
// @ts-ignore: decorator
@inline
export function fma(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/** c - a · b. */
// @ts-ignore: decorator
@inline
export function fnma(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_nmadd(a, b, c);
  return f32x4.sub(c, f32x4.mul(a, b));
}

/** The four lanes added pairwise. */
// @ts-ignore: decorator
@inline
export function horizontalSum(v: v128): f32 {
  const pairs = f32x4.add(v, i32x4.shuffle(v, v, 2, 3, 0, 1));
  return f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1);
}

/** Sums of neighbouring int32 lanes: of x in lanes 0 and 1, of y in lanes 2 and 3. */
// @ts-ignore: decorator
@inline
export function addPairs(x: v128, y: v128): v128 {
  return i32x4.add(i32x4.shuffle(x, y, 0, 2, 4, 6), i32x4.shuffle(x, y, 1, 3, 5, 7));
}

/** Eight int16 ones, in memory because V8 rebuilds a v128.const in every iteration. */
export const onesI16: usize = memory.data<i16>([1, 1, 1, 1, 1, 1, 1, 1], 16);

/**
 * Sums of two neighbouring products of signed bytes (a) with bytes 0..127 (b); only in the relaxed binary. For other values of b the
 * result depends on the engine.
 */
// @ts-ignore: decorator
@inline
export function relaxedDot(a: v128, b: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i16x8.relaxed_dot_i8x16_i7x16_s(a, b);
  return unreachable();
}
