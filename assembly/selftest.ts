/**
 * Checks that the relaxed instructions of this binary compute on this engine what the kernels expect; engines had wrong ones behind flags.
 * Operands are loaded from memory, so that nothing is evaluated at compile time.
 */
import { fma, fnma, relaxedDot } from "./simd";

const operands: usize = memory.data<f32>([1.5, -2, 0.25, 1024, 3, 0.5, -8, 0.125, 0.5, 7, -1, 3], 16);

/** Bytes, bytes 0..127, and the sums of their products in pairs, including the largest of either sign, which must not saturate. */
const signed: usize = memory.data<i8>([-128, -128, 127, 127, -128, 127, -1, 1, 0, -128, 5, -7, 100, -100, -1, -1], 16);
const unsigned: usize = memory.data<i8>([127, 127, 127, 127, 127, 127, 127, 0, 127, 127, 11, 13, 90, 91, 127, 127], 16);
const pairs: usize = memory.data<i16>([-32512, 32258, -127, -127, -16256, -36, -100, -254], 16);

/** The number of instructions that failed. Results are exact, so that fused and separate rounding agree. */
export function selfTest(): i32 {
  const a = v128.load(operands);
  const b = v128.load(operands, 16);
  const c = v128.load(operands, 32);
  let failures = 0;
  for (let tier = 0; tier < 4; tier++) {
    if (v128.any_true(f32x4.ne(fma(a, b, c), f32x4(5, 6, -3, 131)))) failures++;
    if (v128.any_true(f32x4.ne(fnma(a, b, c), f32x4(-4, 8, 1, -125)))) failures++;
    if (ASC_FEATURE_RELAXED_SIMD) {
      const sums = relaxedDot(v128.load(signed), v128.load(unsigned));
      if (v128.any_true(i16x8.ne(sums, v128.load(pairs)))) failures++;
    }
  }
  return failures;
}
