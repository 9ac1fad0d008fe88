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

export function encodeAttention(given: AttentionCall, writer: CommandWriter): void {
  const isGrouped = sharesKeys(given);
  const call = isGrouped ? headsAsRows(given) : given;
  const { q, k, v, mask, output, keyLengths, queryPositions, scale, causal, window = 0 } = call;
  if (sizeOf(output.view.shape) === 0) return;
  const rank = output.view.shape.length - 2;
  const batch = output.view.shape.slice(0, rank);
  const [rows, width] = q.view.shape.slice(rank);
  const [keys, valueWidth] = v.view.shape.slice(rank);
  const operands: readonly (Operand | undefined)[] = [q, k, v, mask, output];
  const perMatrix = [keyLengths, queryPositions];
  const batchStrides = [...operands, ...perMatrix].map(
    (operand) => operand?.view.strides.slice(0, rank) ?? batch.map(() => 0),
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
  for (const operand of operands) writer.i32(...matrixStrides(operand, rank));
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

/** Whether the last dimension of the batch is heads with one query row each that share keys and values, which are read in place. */
function sharesKeys({ q, k, v, output, keyLengths, queryPositions }: AttentionCall): boolean {
  const group = output.view.shape.length - 3;
  if (group < 0 || q.view.shape[group + 1] !== 1) return false;
  const heads = output.view.shape[group];
  if (heads === 1 || heads > maxGroupRows) return false;
  const isShared = [k, v, keyLengths, queryPositions].every((x) => !x || x.view.strides[group] === 0);
  return isShared && [k, v].every((x) => matrixStrides(x, group + 1).includes(1));
}

/** The last dimension of the batch takes the place of the query rows, of which there is one. */
function headsAsRows(call: AttentionCall): AttentionCall {
  const { q, k, v, mask, output, keyLengths, queryPositions } = call;
  const group = output.view.shape.length - 3;
  const without = (operand: Operand, dim: number): Operand => {
    const { shape, strides, offset } = operand.view;
    const view = { shape: shape.toSpliced(dim, 1), strides: strides.toSpliced(dim, 1), offset };
    return { ...operand, view };
  };
  return {
    ...call,
    q: without(q, group + 1),
    k: without(k, group),
    v: without(v, group),
    output: without(output, group + 1),
    ...(mask && { mask: without(mask, group + 1) }),
    ...(keyLengths && { keyLengths: without(keyLengths, group) }),
    ...(queryPositions && { queryPositions: without(queryPositions, group) }),
  };
}

/** Strides of the last two dimensions; 1 along an extent of 1. */
function matrixStrides(operand: Operand | undefined, rank: number): number[] {
  if (operand === undefined) return [0, 0];
  const { shape, strides } = operand.view;
  return strides.slice(rank).map((stride, d) => (shape[rank + d] === 1 ? 1 : stride));
}

/** Row sums, a tile, scores of a block of rows, and the packed queries, keys and values; or the vectors of the GEMV path. */
function scratchBytes(rows: number, keys: number, width: number, valueWidth: number): number {
  const whole = (n: number, step: number) => Math.ceil(n / step) * step;
  const block = tileBytes + 4 * blockRows * (1 + whole(keys, 4));
  const packed = blockRows * width + whole(keys, 4) * width + whole(valueWidth, 8) * keys;
  const vectors = Math.max(rows, gemvMaxRows) * (keys + 3 + Math.max(width, valueWidth));
  return block + 4 * Math.max(packed, vectors);
}
