/**
 * int8 matrix product: panels of 8 weight columns times all packed rows (pack_i8.ts) of a block, in tiles of 4 rows with int32 sums.
 * Micro-kernels are named by tile (rows × columns) and by the number of consecutive k values that one instruction multiplies and adds
 * per output (c2, c4).
 *
 * - exact: rows are widened to int16 when they are packed, panels of weights (src/kernels/packed.ts) once per block of rows.
 * - relaxed, in the relaxed binary, for weights stored as 0..127 (`storedOffset` is not 0): multiplies bytes with relaxed_dot_i8x16_i7x16,
 *   whose sum of two products fits int16.
 */
import { widenedSteps } from "./generated/agreement";
import { dequantizePanel, Dequantization } from "./quantized_epilogue";
import { onesI16, relaxedDot } from "./simd";

/** Whether rows are packed as int16, for the exact micro-kernel. */
// @ts-ignore: decorator
@inline
export function isWide(dequantization: usize): bool {
  if (ASC_FEATURE_RELAXED_SIMD) return load<i32>(dequantization, Dequantization.storedOffset) == 0;
  return true;
}

/**
 * Packed rows × all panels of weights, then the epilogue (quantized_epilogue.ts), into output columns from `first` on. `table` has an
 * entry per row, `steps` is ⌈k/4⌉. Scratch memory: `sums` int32 [rows rounded up to 4, 8], `widened` one panel of weights as int16.
 */
export function multiplyBlock(
  dequantization: usize, rows: i32, table: usize, packed: usize, panels: usize, steps: i32, n: i32, first: i32, sums: usize, widened: usize,
): void {
  const wide = isWide(dequantization);
  const storedOffset = load<i32>(dequantization, Dequantization.storedOffset);
  for (let j = 0; j < n; j += 8) {
    if (wide) {
      let p = 0;
      do {
        const depth = min(widenedSteps, steps - p);
        widenPanel(depth, panels + (<usize>p << 5), storedOffset, widened);
        gemm_i8_4x8c2_exact(rows, steps, depth, packed + (<usize>p << 5), widened, sums, p > 0);
        p += widenedSteps;
      } while (p < steps);
    } else {
      if (ASC_FEATURE_RELAXED_SIMD) gemm_i8_4x8c4_relaxed(rows, steps, packed, panels, sums);
    }
    dequantizePanel(dequantization, sums, table, rows, first + j, min(8, n - j));
    panels += <usize>steps << 5;
  }
}

/** Stored weights [steps][8 columns][4] minus their offset, as int16 [steps · 2][8 columns][2]. */
function widenPanel(steps: i32, from: usize, storedOffset: i32, to: usize): void {
  const zero = i16x8.splat(<i16>storedOffset);
  for (; steps > 0; steps--) {
    const a = i16x8.sub(v128.load8x8_s(from), zero);
    const b = i16x8.sub(v128.load8x8_s(from, 8), zero);
    const c = i16x8.sub(v128.load8x8_s(from, 16), zero);
    const d = i16x8.sub(v128.load8x8_s(from, 24), zero);
    v128.store(to, i32x4.shuffle(a, b, 0, 2, 4, 6));
    v128.store(to, i32x4.shuffle(c, d, 0, 2, 4, 6), 16);
    v128.store(to, i32x4.shuffle(a, b, 1, 3, 5, 7), 32);
    v128.store(to, i32x4.shuffle(c, d, 1, 3, 5, 7), 48);
    from += 32;
    to += 64;
  }
}

/**
 * Multiplies `depth` of the `steps` steps of all rows; `accumulate` adds to the sums of the steps before. 8 of 15 vector registers hold
 * sums; a larger tile would leave too few for the operands.
 */
// @ts-ignore: decorator
@inline
function gemm_i8_4x8c2_exact(rows: i32, steps: i32, depth: i32, packed: usize, panel: usize, sums: usize, accumulate: bool): void {
  const end = panel + (<usize>depth << 6);
  for (; rows > 0; rows -= 4) {
    let c00 = i32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00;
    if (accumulate) {
      c00 = v128.load(sums);
      c01 = v128.load(sums, 16);
      c10 = v128.load(sums, 32);
      c11 = v128.load(sums, 48);
      c20 = v128.load(sums, 64);
      c21 = v128.load(sums, 80);
      c30 = v128.load(sums, 96);
      c31 = v128.load(sums, 112);
    }
    let a = packed;
    for (let b = panel; b < end; b += 32) {
      const b0 = v128.load(b);
      const b1 = v128.load(b, 16);
      const a0 = v128.load32_splat(a);
      c00 = i32x4.add(c00, i32x4.dot_i16x8_s(a0, b0));
      c01 = i32x4.add(c01, i32x4.dot_i16x8_s(a0, b1));
      const a1 = v128.load32_splat(a, 4);
      c10 = i32x4.add(c10, i32x4.dot_i16x8_s(a1, b0));
      c11 = i32x4.add(c11, i32x4.dot_i16x8_s(a1, b1));
      const a2 = v128.load32_splat(a, 8);
      c20 = i32x4.add(c20, i32x4.dot_i16x8_s(a2, b0));
      c21 = i32x4.add(c21, i32x4.dot_i16x8_s(a2, b1));
      const a3 = v128.load32_splat(a, 12);
      c30 = i32x4.add(c30, i32x4.dot_i16x8_s(a3, b0));
      c31 = i32x4.add(c31, i32x4.dot_i16x8_s(a3, b1));
      a += 16;
    }
    v128.store(sums, c00);
    v128.store(sums, c01, 16);
    v128.store(sums, c10, 32);
    v128.store(sums, c11, 48);
    v128.store(sums, c20, 64);
    v128.store(sums, c21, 80);
    v128.store(sums, c30, 96);
    v128.store(sums, c31, 112);
    packed += <usize>steps << 5;
    sums += 128;
  }
}

// @ts-ignore: decorator
@inline
function gemm_i8_4x8c4_relaxed(rows: i32, steps: i32, packed: usize, panel: usize, sums: usize): void {
  const end = panel + (<usize>steps << 5);
  const ones = v128.load(onesI16);
  for (; rows > 0; rows -= 4) {
    let c00 = i32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00;
    for (let b = panel; b < end; b += 32) {
      const b0 = v128.load(b);
      const b1 = v128.load(b, 16);
      const a0 = v128.load32_splat(packed);
      c00 = i32x4.add(c00, i32x4.dot_i16x8_s(relaxedDot(a0, b0), ones));
      c01 = i32x4.add(c01, i32x4.dot_i16x8_s(relaxedDot(a0, b1), ones));
      const a1 = v128.load32_splat(packed, 4);
      c10 = i32x4.add(c10, i32x4.dot_i16x8_s(relaxedDot(a1, b0), ones));
      c11 = i32x4.add(c11, i32x4.dot_i16x8_s(relaxedDot(a1, b1), ones));
      const a2 = v128.load32_splat(packed, 8);
      c20 = i32x4.add(c20, i32x4.dot_i16x8_s(relaxedDot(a2, b0), ones));
      c21 = i32x4.add(c21, i32x4.dot_i16x8_s(relaxedDot(a2, b1), ones));
      const a3 = v128.load32_splat(packed, 12);
      c30 = i32x4.add(c30, i32x4.dot_i16x8_s(relaxedDot(a3, b0), ones));
      c31 = i32x4.add(c31, i32x4.dot_i16x8_s(relaxedDot(a3, b1), ones));
      packed += 16;
    }
    v128.store(sums, c00);
    v128.store(sums, c01, 16);
    v128.store(sums, c10, 32);
    v128.store(sums, c11, 48);
    v128.store(sums, c20, 64);
    v128.store(sums, c21, 80);
    v128.store(sums, c30, 96);
    v128.store(sums, c31, 112);
    sums += 128;
  }
}
