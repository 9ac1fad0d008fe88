/**
 * Few int8 rows times a matrix of weights, at memory bandwidth. As many panels are read at once as there are registers for their sums:
 * several streams use the memory bandwidth better than one.
 */
import { RowTable } from "./pack_i8";
import { dequantizePanel } from "./quantized_epilogue";
import { isWide } from "./qgemm_i8";
import { addPairs, onesI16, relaxedDot } from "./simd";

/** Panels read at once. */
const widePanels: i32 = 3;
const narrowPanels: i32 = 4;

/** Contiguous packed rows (`packRow`) × all panels of weights. `sums` is scratch memory for one row's sums of `narrowPanels` panels. */
export function multiplyRows(
  dequantization: usize, rows: i32, table: usize, packed: usize, panels: usize, steps: i32, n: i32, sums: usize,
): void {
  const wide = isWide(dequantization);
  const rowBytes = <usize>steps << (wide ? 3 : 2);
  const panelBytes = <usize>steps << 5;
  const columns = (wide ? widePanels : narrowPanels) << 3;
  for (let j = 0; j < n; j += columns) {
    // Beyond the last panel, the last one is read again and its sums are not used.
    const count = min(columns, n - j);
    const p1 = count > 8 ? panels + panelBytes : panels;
    const p2 = count > 16 ? p1 + panelBytes : p1;
    for (let i = 0; i < rows; i++) {
      const row = packed + <usize>i * rowBytes;
      if (wide) {
        exact1x24c4(steps, row, panels, p1, p2, sums);
      } else {
        if (ASC_FEATURE_RELAXED_SIMD) relaxed1x32c4(steps, row, panels, p1, p2, count > 24 ? p2 + panelBytes : p2, sums);
      }
      for (let c = 0; c < count; c += 8) {
        dequantizePanel(dequantization, sums + (<usize>c << 2), table + <usize>i * RowTable.bytes, 1, j + c, min(8, count - c));
      }
    }
    panels += <usize>(columns >> 3) * panelBytes;
  }
}

export function exact1x24c4(steps: i32, x: usize, p0: usize, p1: usize, p2: usize, sums: usize): void {
  let c0 = i32x4.splat(0), c1 = c0, c2 = c0, c3 = c0, c4 = c0, c5 = c0, c6 = c0, c7 = c0, c8 = c0, c9 = c0, c10 = c0, c11 = c0;
  for (; steps > 0; steps--) {
    const a = v128.load64_splat(x);
    c0 = i32x4.add(c0, i32x4.dot_i16x8_s(a, v128.load8x8_s(p0)));
    c1 = i32x4.add(c1, i32x4.dot_i16x8_s(a, v128.load8x8_s(p0, 8)));
    c2 = i32x4.add(c2, i32x4.dot_i16x8_s(a, v128.load8x8_s(p0, 16)));
    c3 = i32x4.add(c3, i32x4.dot_i16x8_s(a, v128.load8x8_s(p0, 24)));
    c4 = i32x4.add(c4, i32x4.dot_i16x8_s(a, v128.load8x8_s(p1)));
    c5 = i32x4.add(c5, i32x4.dot_i16x8_s(a, v128.load8x8_s(p1, 8)));
    c6 = i32x4.add(c6, i32x4.dot_i16x8_s(a, v128.load8x8_s(p1, 16)));
    c7 = i32x4.add(c7, i32x4.dot_i16x8_s(a, v128.load8x8_s(p1, 24)));
    c8 = i32x4.add(c8, i32x4.dot_i16x8_s(a, v128.load8x8_s(p2)));
    c9 = i32x4.add(c9, i32x4.dot_i16x8_s(a, v128.load8x8_s(p2, 8)));
    c10 = i32x4.add(c10, i32x4.dot_i16x8_s(a, v128.load8x8_s(p2, 16)));
    c11 = i32x4.add(c11, i32x4.dot_i16x8_s(a, v128.load8x8_s(p2, 24)));
    x += 8;
    p0 += 32;
    p1 += 32;
    p2 += 32;
  }
  v128.store(sums, addPairs(c0, c1));
  v128.store(sums, addPairs(c2, c3), 16);
  v128.store(sums, addPairs(c4, c5), 32);
  v128.store(sums, addPairs(c6, c7), 48);
  v128.store(sums, addPairs(c8, c9), 64);
  v128.store(sums, addPairs(c10, c11), 80);
}

// @ts-ignore: decorator
@inline
function relaxed1x32c4(steps: i32, x: usize, p0: usize, p1: usize, p2: usize, p3: usize, sums: usize): void {
  let c0 = i32x4.splat(0), c1 = c0, c2 = c0, c3 = c0, c4 = c0, c5 = c0, c6 = c0, c7 = c0;
  const ones = v128.load(onesI16);
  for (; steps > 0; steps--) {
    const a = v128.load32_splat(x);
    c0 = i32x4.add(c0, i32x4.dot_i16x8_s(relaxedDot(a, v128.load(p0)), ones));
    c1 = i32x4.add(c1, i32x4.dot_i16x8_s(relaxedDot(a, v128.load(p0, 16)), ones));
    c2 = i32x4.add(c2, i32x4.dot_i16x8_s(relaxedDot(a, v128.load(p1)), ones));
    c3 = i32x4.add(c3, i32x4.dot_i16x8_s(relaxedDot(a, v128.load(p1, 16)), ones));
    c4 = i32x4.add(c4, i32x4.dot_i16x8_s(relaxedDot(a, v128.load(p2)), ones));
    c5 = i32x4.add(c5, i32x4.dot_i16x8_s(relaxedDot(a, v128.load(p2, 16)), ones));
    c6 = i32x4.add(c6, i32x4.dot_i16x8_s(relaxedDot(a, v128.load(p3)), ones));
    c7 = i32x4.add(c7, i32x4.dot_i16x8_s(relaxedDot(a, v128.load(p3, 16)), ones));
    x += 4;
    p0 += 32;
    p1 += 32;
    p2 += 32;
    p3 += 32;
  }
  v128.store(sums, c0);
  v128.store(sums, c1, 16);
  v128.store(sums, c2, 32);
  v128.store(sums, c3, 48);
  v128.store(sums, c4, 64);
  v128.store(sums, c5, 80);
  v128.store(sums, c6, 96);
  v128.store(sums, c7, 112);
}
