/** Encodes `attention` for assembly/attention_f32.ts. */
import { sizeOf } from "../../../core/shape.js";
import type { AttentionCall, Operand } from "../../../kernels/kernel.js";
import { type CommandWriter, Opcode } from "../command.js";
import { coalesce } from "./strides.js";
import { tileBytes } from "./tile.js";

/** The words of the payload, before the arrays of the batch. */
export const attentionLayout =
  "rows keys width valueWidth q k v mask output lengths positions scratch qRow qE kKey kE vKey vD maskRow maskKey " +
  "outputRow outputD scale causal rowStep isBool window rank batches extents";

/** Query rows per block, four panels: each tile of keys stays in the L1 cache for all four. */
export const blockRows = 32;
/** Up to this many rows, GEMV without packing is faster. */
export const gemvMaxRows = 3;
/** Up to this many heads that share keys and values are rows of one matrix: their scores fit in those of a block. */
const maxGroupRows = blockRows / 2;
/** Upper bound of windows: its sum with any number of keys is an int32. */
const widestWindow = 2 ** 30;

export function encodeAttention(call: AttentionCall, writer: CommandWriter): void {
  const { q, k, v, mask, output, keyLengths, queryPositions, scale, causal, window = 0 } = call;
  if (sizeOf(output.view.shape) === 0) return;
  const rank = output.view.shape.length - 2;
  // Heads of a group take the place of the query rows, of which there is one.
  const isGrouped = sharesKeys(call, rank - 1);
  const rowDim = isGrouped ? rank - 1 : rank;
  const batch = output.view.shape.slice(0, rowDim);
  const rows = q.view.shape[rowDim];
  const width = q.view.shape[rank + 1];
  const [keys, valueWidth] = v.view.shape.slice(rank);
  const operands: readonly (Operand | undefined)[] = [q, k, v, mask, output];
  const perMatrix = [keyLengths, queryPositions];
  const batchStrides = [...operands, ...perMatrix].map(
    (operand) => operand?.view.strides.slice(0, rowDim) ?? batch.map(() => 0),
  );
  const order = batch.map((_, d) => d);
  const { extents, strides } = coalesce(batch, order, batchStrides);

  writer.begin(Opcode.attention);
  writer.i32(rows, keys, width, valueWidth);
  for (const operand of [...operands, ...perMatrix]) {
    if (operand) writer.address(operand);
    else writer.i32(0);
  }
  writer.scratch(scratchBytes(rows, keys, width, valueWidth));
  for (const operand of operands) {
    const isKeys = operand === k || operand === v;
    writer.i32(strideOf(operand, isKeys ? rank : rowDim), strideOf(operand, rank + 1));
  }
  writer.f32(scale);
  writer.i32(
    causal ? 1 : 0,
    isGrouped ? 0 : 1,
    mask?.dtype === "bool" ? 1 : 0,
    Math.min(window, widestWindow),
    extents.length,
    sizeOf(batch),
    ...[extents, ...strides].flat(),
  );
  writer.end();
}

/** Whether dimension `group` is heads with one query row each that share keys and values, which are read in place. */
function sharesKeys({ q, k, v, output, keyLengths, queryPositions }: AttentionCall, group: number): boolean {
  const heads = output.view.shape[group] ?? 0;
  return (
    q.view.shape[group + 1] === 1 &&
    heads > 1 &&
    heads <= maxGroupRows &&
    [k, v, keyLengths, queryPositions].every((x) => !x?.view.strides[group]) &&
    [k, v].every((x) => strideOf(x, group + 1) === 1 || strideOf(x, group + 2) === 1)
  );
}

/** Stride of a dimension of a matrix; 1 along an extent of 1, 0 without an operand. */
function strideOf(operand: Operand | undefined, dim: number): number {
  return operand ? (operand.view.shape[dim] === 1 ? 1 : operand.view.strides[dim]) : 0;
}

/** Row sums, a tile, scores of a block of rows, and the packed queries, keys and values; or the vectors of the GEMV path. */
function scratchBytes(rows: number, keys: number, width: number, valueWidth: number): number {
  const whole = (n: number, step: number) => Math.ceil(n / step) * step;
  const block = tileBytes + 4 * blockRows * (1 + whole(keys, 4));
  const packed = blockRows * width + whole(keys, 4) * width + whole(valueWidth, 8) * keys;
  const vectors = Math.max(rows, gemvMaxRows) * (keys + 3 + Math.max(width, valueWidth));
  return block + 4 * Math.max(packed, vectors);
}
