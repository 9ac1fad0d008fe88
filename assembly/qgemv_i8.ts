/** Few int8 rows times a matrix of weights, at memory bandwidth: the panels are read one after the other, a single stream. */
import { RowTable } from "./pack_i8";
import { dequantizePanel } from "./quantized_epilogue";
import { isWide } from "./qgemm_i8";
import { addPairs, onesI16, relaxedDot } from "./simd";

/** Contiguous packed rows (`packRow`) × all panels of weights. `sums` is scratch memory for one row's sums of a panel. */
export function multiplyRows(
  dequantization: usize, rows: i32, table: usize, packed: usize, panels: usize, steps: i32, n: i32, sums: usize,
): void {
  const wide = isWide(dequantization);
  const rowBytes = <usize>steps << (wide ? 3 : 2);
  for (let j = 0; j < n; j += 8) {
    for (let i = 0; i < rows; i++) {
      const row = packed + <usize>i * rowBytes;
      if (wide) {
        exact1x8c4(steps, row, panels, sums);
      } else {
        if (ASC_FEATURE_RELAXED_SIMD) relaxed1x8c4(steps, row, panels, sums);
      }
      dequantizePanel(dequantization, sums, table + <usize>i * RowTable.bytes, 1, j, min(8, n - j));
    }
    panels += <usize>steps << 5;
  }
}

/** Exact sums of one row of int16 × eight columns. */
export function exact1x8c4(steps: i32, x: usize, b: usize, sums: usize): void {
  let c0 = i32x4.splat(0), c1 = c0, c2 = c0, c3 = c0;
  for (; steps > 0; steps--) {
    const a = v128.load64_splat(x);
    c0 = i32x4.add(c0, i32x4.dot_i16x8_s(a, v128.load8x8_s(b)));
    c1 = i32x4.add(c1, i32x4.dot_i16x8_s(a, v128.load8x8_s(b, 8)));
    c2 = i32x4.add(c2, i32x4.dot_i16x8_s(a, v128.load8x8_s(b, 16)));
    c3 = i32x4.add(c3, i32x4.dot_i16x8_s(a, v128.load8x8_s(b, 24)));
    x += 8;
    b += 32;
  }
  v128.store(sums, addPairs(c0, c1));
  v128.store(sums, addPairs(c2, c3), 16);
}

// @ts-ignore: decorator
@inline
function relaxed1x8c4(steps: i32, x: usize, b: usize, sums: usize): void {
  let c0 = i32x4.splat(0), c1 = c0;
  const ones = v128.load(onesI16);
  for (; steps > 0; steps--) {
    const a = v128.load32_splat(x);
    c0 = i32x4.add(c0, i32x4.dot_i16x8_s(relaxedDot(a, v128.load(b)), ones));
    c1 = i32x4.add(c1, i32x4.dot_i16x8_s(relaxedDot(a, v128.load(b, 16)), ones));
    x += 4;
    b += 32;
  }
  v128.store(sums, c0);
  v128.store(sums, c1, 16);
}
