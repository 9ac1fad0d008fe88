/**
 * int8 rows times packed weights of 8 or 7 bits.
 *
 * Payload of `qmatmul`, 32-bit words: `Operands`; address (0: none) and stride of the input's scales; rows in a block;
 * addresses of working spaces: a tile, table of rows, packed rows, four gathered rows; then `Finish`.
 */
import { pack4, gatherBytes, RowTable } from "./pack_i8";
import { isWide, multiplyBlock } from "./qgemm_i8";
import { qgemvI8 } from "./qgemv_i8";
import { Operands } from "./qmatmul_payload";
import { Finish, prepareColumns } from "./quantized_epilogue";

namespace At {
  export const inputScales: usize = 36;
  export const inputScalesM: usize = 40;
  export const blockRows: usize = 44;
  export const tile: usize = 48;
  export const table: usize = 52;
  export const packed: usize = 56;
  export const gathered: usize = 60;
  export const finish: usize = 64;
}

export function qmatmul(payload: usize): void {
  const m = load<i32>(payload, Operands.m);
  const n = load<i32>(payload, Operands.n);
  const k = load<i32>(payload, Operands.k);
  const weight = load<usize>(payload, Operands.weight);
  const finish = payload + At.finish;
  prepareColumns(finish);
  if (m == 1) {
    qgemvI8(finish, n, k, load<usize>(payload, Operands.input), load<i32>(payload, Operands.inputK), inputScale(payload, 0), weight,
      load<usize>(payload, Operands.output), load<usize>(payload, At.packed));
    return;
  }
  const blockRows = load<i32>(payload, At.blockRows);
  const table = load<usize>(payload, At.table);
  const packed = load<usize>(payload, At.packed);
  const steps = (k + 3) >> 2;
  for (let i = 0; i < m; i += blockRows) {
    const rows = min(blockRows, m - i);
    packBlock(payload, i, rows, table, packed);
    multiplyBlock(finish, rows, table, packed, weight, steps, n, 0, load<usize>(payload, At.tile));
  }
}

/** The scale of one row of the input. */
function inputScale(payload: usize, row: i32): f32 {
  const scales = load<usize>(payload, At.inputScales);
  return scales == 0 ? 1 : load<f32>(scales + (<usize>(row * load<i32>(payload, At.inputScalesM)) << 2));
}

/** Packs rows from `first` on and fills their table. Missing rows of the last panel repeat the last one. */
function packBlock(payload: usize, first: i32, rows: i32, table: usize, packed: usize): void {
  const k = load<i32>(payload, Operands.k);
  const finish = payload + At.finish;
  const storedOffset = load<i32>(finish, Finish.storedOffset);
  const wide = isWide(finish);
  const inputM = load<i32>(payload, Operands.inputM);
  const inputK = load<i32>(payload, Operands.inputK);
  const outputM = load<i32>(payload, Operands.outputM);
  const tile = load<usize>(payload, At.tile);
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
    v128.store(tile, i32x4.splat(0));
    pack4(packed, wide, p0, p1, p2, p3, k, tile);
    for (let r = 0; r < height; r++) {
      store<usize>(table, load<usize>(payload, Operands.output) + (first + i + r) * outputM, RowTable.address);
      store<i32>(table, storedOffset * load<i32>(tile + (<usize>r << 2)), RowTable.correction);
      store<f32>(table, inputScale(payload, first + i + r), RowTable.scale);
      table += RowTable.bytes;
    }
    packed += panelBytes;
    source += 4 * inputM;
  }
}
