/**
 * int8 matrix product: panels of 8 columns times all packed rows (pack_i8.ts) of a block, in tiles of 4 rows with int32 sums.
 * Names tell rows × columns of a tile and how many values of a row stand together (c2, c4).
 *
 * Exact products: rows are widened to 16 bits when they are packed, panels of weights (src/kernels/packed.ts) once for a block.
 * The relaxed binary has a faster way for weights that are stored as 0..127: there the sum of two products of 8 bits fits 16
 * bits.
 */
import { widenedSteps } from "./generated/agreement";
import { finishPanel, Finish } from "./quantized_epilogue";
import { onesI16, relaxedDot } from "./simd";

/** Whether rows are packed as 16 bits, for the exact products. */
// @ts-ignore: decorator
@inline
export function isWide(finish: usize): bool {
  if (ASC_FEATURE_RELAXED_SIMD) return load<i32>(finish, Finish.storedOffset) == 0;
  return true;
}

/**
 * Packed rows × all panels of weights → finished rows from output column `first` on. `table` has an entry per row, `steps` is
 * ⌈k/4⌉; `sums` is room for [rows rounded up to 4, 8], `widened` for a panel as 16 bits.
 */
export function multiplyBlock(
  finish: usize, rows: i32, table: usize, packed: usize, panels: usize, steps: i32, n: i32, first: i32, sums: usize, widened: usize,
): void {
  const wide = isWide(finish);
  const storedOffset = load<i32>(finish, Finish.storedOffset);
  for (let j = 0; j < n; j += 8) {
    if (wide) {
      let p = 0;
      do {
        const depth = min(widenedSteps, steps - p);
        widenPanel(depth, panels + (<usize>p << 5), storedOffset, widened);
        exact4x8c2(rows, steps, depth, packed + (<usize>p << 5), widened, sums, p > 0);
        p += widenedSteps;
      } while (p < steps);
    } else {
      if (ASC_FEATURE_RELAXED_SIMD) relaxed4x8c4(rows, steps, packed, panels, sums);
    }
    finishPanel(finish, sums, table, rows, first + j, min(8, n - j));
    panels += <usize>steps << 5;
  }
}

/** Weights [steps][8 columns][4] less what they are stored above, as 16 bits [steps · 2][8 columns][2]. */
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
 * `depth` of the rows' `steps` steps, added to the sums if those are of the steps before. Of 15 vector registers 8 hold sums: with
 * more of them there is none left for what is multiplied.
 */
// @ts-ignore: decorator
@inline
function exact4x8c2(rows: i32, steps: i32, depth: i32, packed: usize, panel: usize, sums: usize, accumulate: bool): void {
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
function relaxed4x8c4(rows: i32, steps: i32, packed: usize, panel: usize, sums: usize): void {
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
