/** Masks of attention, applied to a panel of scores: [keys, 8 rows], float32. */

/** Sets masked scores to −∞: row i of the panel sees the keys j with past + i ≤ j < seen + i. */
export function applyCausalMask(panel: usize, from: i32, end: i32, seen: i32, past: i32): void {
  for (let j = from; ; j++) {
    // Keys from past + 7 to seen − 1 are visible to all 8 rows.
    if (j >= past + 7) j = max(j, seen);
    if (j >= end) return;
    for (let i = 0; i < 8; i++) {
      if (j < past + i || j >= seen + i) store<f32>(panel + (<usize>j << 5) + (<usize>i << 2), -Infinity);
    }
  }
}

/**
 * Applies a mask [rows, keys] to the scores of up to 8 rows from row `first` on: float32 is added, bool masks scores where it is false.
 * @param row Stride of the mask between rows, in elements; `key`: between keys.
 */
export function maskPanel(
  mask: usize,
  isBool: i32,
  row: usize,
  key: usize,
  first: i32,
  rows: i32,
  panel: usize,
  begin: i32,
  end: i32,
): void {
  const shift: usize = isBool ? 0 : 2;
  row <<= shift;
  key <<= shift;
  const hidden = f32x4.splat(-Infinity);
  let from = mask + <usize>first * row + <usize>begin * key;
  panel += <usize>begin << 5;
  for (let j = begin; j < end; j++) {
    for (let i = 0; i < rows; i += 4) {
      const at = panel + (<usize>i << 2);
      const given = gather(from + <usize>i * row, row, rows - i, isBool);
      const x = v128.load(at);
      v128.store(at, isBool ? v128.bitselect(x, hidden, i32x4.ne(given, i32x4.splat(0))) : f32x4.add(x, given));
    }
    from += key;
    panel += 32;
  }
}

/** Loads up to four strided elements into lanes: float32, or bytes into the lowest byte of each lane. Other lanes are 0. */
// @ts-ignore: decorator
@inline
function gather(at: usize, step: usize, count: i32, isByte: i32): v128 {
  let x = i32x4.splat(0);
  if (isByte) {
    x = v128.load_lane<u8>(at, x, 0);
    if (count > 1) x = v128.load_lane<u8>(at + step, x, 4);
    if (count > 2) x = v128.load_lane<u8>(at + 2 * step, x, 8);
    if (count > 3) x = v128.load_lane<u8>(at + 3 * step, x, 12);
    return x;
  }
  x = v128.load_lane<f32>(at, x, 0);
  if (count > 1) x = v128.load_lane<f32>(at + step, x, 1);
  if (count > 2) x = v128.load_lane<f32>(at + 2 * step, x, 2);
  if (count > 3) x = v128.load_lane<f32>(at + 3 * step, x, 3);
  return x;
}
