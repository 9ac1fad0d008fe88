/**
 * GEMV of packed weights at memory bandwidth: four panels at a time, a quarter of the matrix apart, a piece of some hundred bytes of each
 * in turn. Memory serves four long streams up to twice as fast as one, and hides the arithmetic between them.
 */
import { gemvStreams } from "./generated/agreement";
import { dequantizePanel } from "./quantized_epilogue";

/** Adds piece number `piece` of a packed row times a panel to eight sums, int32 or float32. */
export type PieceKernel = (piece: i32, row: usize, panel: usize, index: i32, sums: usize) => void;

/**
 * Packed rows × panels, then the epilogue. Rows are `rowBytes` apart, panels `panelBytes`; `pieces` cover k. Scratch memory: `sums`, eight
 * for each row and stream. With `isOrdered` one panel is read at a time, from the first to the last.
 */
export function multiplyPieces(
  kernel: PieceKernel, pieces: i32, rows: i32, packed: usize, rowBytes: usize, weight: usize, panelBytes: usize,
  n: i32, dequantization: usize, table: usize, sums: usize, isOrdered: bool,
): void {
  const panels = (n + 7) >> 3;
  const apart = isOrdered ? 0 : panels / gemvStreams;
  const rowSums = <usize>rows << 5;
  let first = 0;
  while (first < panels) {
    const last = first + (first < apart ? (gemvStreams - 1) * apart : 0);
    memory.fill(sums, 0, rowSums * gemvStreams);
    for (let piece = 0; piece < pieces; piece++) {
      let to = sums;
      for (let j = first; j <= last; j += max(apart, 1)) {
        for (let i = 0; i < rows; i++) {
          kernel(piece, packed + <usize>i * rowBytes, weight + <usize>j * panelBytes, j, to);
          to += 32;
        }
      }
    }
    let from = sums;
    for (let j = first; j <= last; j += max(apart, 1)) {
      dequantizePanel(dequantization, from, table, rows, j << 3, min(8, n - (j << 3)));
      from += rowSums;
    }
    first++;
    // The panels beyond a multiple of four are read one after the other.
    if (first == apart) first *= gemvStreams;
  }
}
