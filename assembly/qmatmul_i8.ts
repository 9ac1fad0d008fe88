/**
 * int8 rows times packed weights of 8 or 7 bits.
 *
 * Payload of `qmatmul`, 32-bit words: `Operands`; address (0: none) and stride of the input's scales; rows in a block;
 * addresses of scratch memory: sums of a block's panel, table of rows, packed rows, four gathered rows, a widened panel of
 * weights; then `Dequantization`.
 */
import { gemvRows, Operands, QmatmulAt as At } from "./generated/agreement";
import { gatherBytes, pack4, packRow, RowTable } from "./pack_i8";
import { isWide, multiplyBlock } from "./qgemm_i8";
import { multiplyRows } from "./qgemv_i8";
import { Dequantization, placeRow, prepareColumns } from "./quantized_epilogue";

export function qmatmul(payload: usize): void {
  const m = load<i32>(payload, Operands.m);
  const n = load<i32>(payload, Operands.n);
  const k = load<i32>(payload, Operands.k);
  const weight = load<usize>(payload, Operands.weight);
  const dequantization = payload + At.dequantization;
  const blockRows = load<i32>(payload, At.blockRows);
  const sums = load<usize>(payload, At.sums);
  const table = load<usize>(payload, At.table);
  const packed = load<usize>(payload, At.packed);
  const steps = (k + 3) >> 2;
  prepareColumns(dequantization);
  if (m <= gemvRows) {
    packRows(payload, m, table, packed);
    multiplyRows(dequantization, m, table, packed, weight, steps, n, sums);
    return;
  }
  for (let i = 0; i < m; i += blockRows) {
    const rows = min(blockRows, m - i);
    packBlock(payload, i, rows, table, packed);
    multiplyBlock(dequantization, rows, table, packed, weight, steps, n, 0, sums, load<usize>(payload, At.widened));
  }
}

/** The scale of one row of the input. */
function inputScale(payload: usize, row: i32): f32 {
  const scales = load<usize>(payload, At.inputScales);
  return scales == 0 ? 1 : load<f32>(scales + (<usize>(row * load<i32>(payload, At.inputScalesM)) << 2));
}

/** Fills the entry of row i of a block, row `row` of the input. */
// @ts-ignore: decorator
@inline
function fillEntry(payload: usize, i: i32, row: i32, correction: i32, entry: usize): void {
  const output = load<usize>(payload, Operands.output) + row * load<i32>(payload, Operands.outputM);
  placeRow(payload + At.dequantization, entry, i, row * load<i32>(payload, Operands.n), output);
  store<i32>(entry, correction, RowTable.correction);
  store<f32>(entry, inputScale(payload, row), RowTable.scale);
}

/** Packs the rows contiguously (for GEMV) and fills their table. */
function packRows(payload: usize, rows: i32, table: usize, packed: usize): void {
  const k = load<i32>(payload, Operands.k);
  const dequantization = payload + At.dequantization;
  const storedOffset = load<i32>(dequantization, Dequantization.storedOffset);
  const wide = isWide(dequantization);
  const rowBytes = <usize>((k + 3) >> 2) << (wide ? 3 : 2);
  for (let i = 0; i < rows; i++) {
    const source = load<usize>(payload, Operands.input) + i * load<i32>(payload, Operands.inputM);
    const sum = packRow(packed, wide, source, load<i32>(payload, Operands.inputK), k);
    fillEntry(payload, i, i, storedOffset * sum, table);
    packed += rowBytes;
    table += RowTable.bytes;
  }
}

/**
 * Packs rows from `first` on in panels and fills their table. Missing rows of the last panel repeat the last one. For wide rows totals and
 * corrections stay 0, because the offset of the stored weights is subtracted when the weights are widened.
 */
function packBlock(payload: usize, first: i32, rows: i32, table: usize, packed: usize): void {
  const k = load<i32>(payload, Operands.k);
  const dequantization = payload + At.dequantization;
  const storedOffset = load<i32>(dequantization, Dequantization.storedOffset);
  const wide = isWide(dequantization);
  const inputM = load<i32>(payload, Operands.inputM);
  const inputK = load<i32>(payload, Operands.inputK);
  const totals = load<usize>(payload, At.sums);
  const gathered = load<usize>(payload, At.gathered);
  const panelBytes = <usize>((k + 3) >> 2) << (wide ? 5 : 4);
  let source = load<usize>(payload, Operands.input) + first * inputM;
  let step = <usize>inputM;
  for (let i = 0; i < rows; i += 4) {
    const height = min(4, rows - i);
    if (inputK != 1) {
      for (let r = 0; r < height; r++) gatherBytes(gathered + r * k, source + r * inputM, inputK, k);
      step = k;
    }
    const p0 = inputK == 1 ? source : gathered;
    const p1 = height > 1 ? p0 + step : p0;
    const p2 = height > 2 ? p1 + step : p1;
    const p3 = height > 3 ? p2 + step : p2;
    v128.store(totals, i32x4.splat(0));
    pack4(packed, wide, p0, p1, p2, p3, k, totals);
    for (let r = 0; r < height; r++) {
      fillEntry(payload, i + r, first + i + r, storedOffset * load<i32>(totals + (<usize>r << 2)), table);
      table += RowTable.bytes;
    }
    packed += panelBytes;
    source += 4 * inputM;
  }
}
