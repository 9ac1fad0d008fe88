/**
 * Proof that the relaxed instructions in this binary do on this engine what the kernels expect; engines have had
 * wrong ones behind flags. Operands come from memory, so that nothing is computed at compile time.
 */
import { fma, fnma } from "./simd";

const operands: usize = memory.data<f32>([1.5, -2, 0.25, 1024, 3, 0.5, -8, 0.125, 0.5, 7, -1, 3], 16);

/** Number of instructions that failed. Exact results, so one or two roundings make no difference. */
export function selfTest(): i32 {
  const a = v128.load(operands);
  const b = v128.load(operands, 16);
  const c = v128.load(operands, 32);
  let failures = 0;
  for (let tier = 0; tier < 4; tier++) {
    if (v128.any_true(f32x4.ne(fma(a, b, c), f32x4(5, 6, -3, 131)))) failures++;
    if (v128.any_true(f32x4.ne(fnma(a, b, c), f32x4(-4, 8, 1, -125)))) failures++;
  }
  return failures;
}
