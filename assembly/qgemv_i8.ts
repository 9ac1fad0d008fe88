/** One int8 row times a matrix of weights at the speed of memory: two panels, 16 columns, at a time. */
import { RowTable, packRow } from "./pack_i8";
import { Finish, finishTile } from "./quantized_epilogue";
import { addPairs, isWide } from "./qgemm_i8";
import { onesI16, relaxedDot } from "./simd";

/** The working space holds the row, as 16 bits, and a table entry and 16 sums before it. */
export function qgemvI8(
  finish: usize, n: i32, k: i32, input: usize, inputK: i32, scale: f32, weight: usize, output: usize, space: usize,
): void {
  const wide = isWide(finish);
  const sums = space + RowTable.bytes;
  const row = sums + 64;
  const steps = (k + 3) >> 2;
  const panelBytes = <usize>steps << 5;
  store<usize>(space, output, RowTable.address);
  store<i32>(space, load<i32>(finish, Finish.storedOffset) * packRow(row, wide, input, inputK, k), RowTable.correction);
  store<f32>(space, scale, RowTable.scale);
  for (let j = 0; j < n; j += 16) {
    const other = j + 8 < n ? weight + panelBytes : weight;
    if (wide) exact1x16c4(steps, row, weight, other, sums);
    else relaxed1x16c4(steps, row, weight, other, sums);
    finishTile(finish, sums, space, 1, j, min(8, n - j));
    if (j + 8 < n) finishTile(finish, sums + 32, space, 1, j + 8, min(8, n - j - 8));
    weight += panelBytes << 1;
  }
}

function exact1x16c4(steps: i32, x: usize, b: usize, d: usize, sums: usize): void {
  let c0 = i32x4.splat(0), c1 = c0, c2 = c0, c3 = c0, c4 = c0, c5 = c0, c6 = c0, c7 = c0;
  for (; steps > 0; steps--) {
    const a = v128.load64_splat(x);
    c0 = i32x4.add(c0, i32x4.dot_i16x8_s(a, v128.load8x8_s(b)));
    c1 = i32x4.add(c1, i32x4.dot_i16x8_s(a, v128.load8x8_s(b, 8)));
    c2 = i32x4.add(c2, i32x4.dot_i16x8_s(a, v128.load8x8_s(b, 16)));
    c3 = i32x4.add(c3, i32x4.dot_i16x8_s(a, v128.load8x8_s(b, 24)));
    c4 = i32x4.add(c4, i32x4.dot_i16x8_s(a, v128.load8x8_s(d)));
    c5 = i32x4.add(c5, i32x4.dot_i16x8_s(a, v128.load8x8_s(d, 8)));
    c6 = i32x4.add(c6, i32x4.dot_i16x8_s(a, v128.load8x8_s(d, 16)));
    c7 = i32x4.add(c7, i32x4.dot_i16x8_s(a, v128.load8x8_s(d, 24)));
    x += 8;
    b += 32;
    d += 32;
  }
  v128.store(sums, addPairs(c0, c1));
  v128.store(sums, addPairs(c2, c3), 16);
  v128.store(sums, addPairs(c4, c5), 32);
  v128.store(sums, addPairs(c6, c7), 48);
}

function relaxed1x16c4(steps: i32, x: usize, b: usize, d: usize, sums: usize): void {
  let c0 = i32x4.splat(0), c1 = c0, c2 = c0, c3 = c0;
  const ones = v128.load(onesI16);
  for (; steps > 0; steps--) {
    const a = v128.load32_splat(x);
    c0 = i32x4.add(c0, i32x4.dot_i16x8_s(relaxedDot(a, v128.load(b)), ones));
    c1 = i32x4.add(c1, i32x4.dot_i16x8_s(relaxedDot(a, v128.load(b, 16)), ones));
    c2 = i32x4.add(c2, i32x4.dot_i16x8_s(relaxedDot(a, v128.load(d)), ones));
    c3 = i32x4.add(c3, i32x4.dot_i16x8_s(relaxedDot(a, v128.load(d, 16)), ones));
    x += 4;
    b += 32;
    d += 32;
  }
  v128.store(sums, c0);
  v128.store(sums, c1, 16);
  v128.store(sums, c2, 32);
  v128.store(sums, c3, 48);
}
