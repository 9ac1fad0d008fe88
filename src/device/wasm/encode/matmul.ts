/** Encodes `matmul` for assembly/gemm_f32.ts. */
import { sizeOf } from "../../../core/shape.js";
import { isDense, memoryOrder } from "../../../core/view.js";
import type { MatmulCall, Operand } from "../../../kernels/kernel.js";
import { type CommandWriter, Opcode } from "../command.js";
import { endWithEpilogue, planEpilogue, rangeOfBlocks, writeEpilogueWords } from "./epilogue.js";
import { coalesce, Stored } from "./strides.js";
import { tileBytes, widenedBytes } from "./tile.js";

/** The words of the payload, before the arrays of the batch and the epilogue. */
export const matmulLayout =
  "m n k a b output scratch aM aK bK bN outputM outputN bias relu epilogue panels filled aFormat bFormat rank batches extents";

/** A block of A takes half the L2 cache, a panel of B half the L1 cache. */
export const blockM = 128;
export const blockK = 256;
export const blockN = 2048;
/** Columns of B packed at a time if all rows of A are one block: they stay in the L1 cache. */
export const fewColumns = 32;
/** Columns per application of the epilogue if A is one block: with all its rows they fit the L2 cache. */
export const epilogueColumns = 512;
/** Up to this many rows, GEMV reads the matrix unpacked: packing costs more than it saves. */
export const gemvMaxRows = 16;

export function encodeMatmul(call: MatmulCall, writer: CommandWriter): void {
  const { output, epilogue } = call;
  const rank = output.view.shape.length - 2;
  if (sizeOf(output.view.shape) === 0) return;
  let { a, b } = call;
  let [m, n] = output.view.shape.slice(rank);
  const k = a.view.shape[rank + 1];
  let [aM, aK] = a.view.strides.slice(rank);
  let [bK, bN] = b.view.strides.slice(rank);
  let [outputM, outputN] = unitStrides(output, rank);
  // A column-major result is the row-major result of the transposed product.
  if (outputN !== 1 && (outputM === 1 || (n <= gemvMaxRows && m > gemvMaxRows))) {
    [a, b, m, n, aM, aK, bK, bN] = [b, a, n, m, bN, bK, aK, aM];
    [outputM, outputN] = [outputN, outputM];
  }
  const batch = output.view.shape.slice(0, rank);
  const order = batch.map((_, d) => d);
  const batchStrides = [a, b, output].map((operand) => operand.view.strides.slice(0, rank));
  const { extents, strides } = coalesce(batch, order, batchStrides);
  const isOrdered = memoryOrder(output.view).every((d, i) => i >= rank || d === i);
  const plan = planEpilogue(output, epilogue, n, isDense(output.view) && isOrdered);

  writer.begin(Opcode.matmul);
  writer.i32(m, n, k);
  writer.address(a);
  writer.address(b);
  writer.address(output);
  writer.scratch(scratchBytes(m, n, k));
  writer.i32(aM, aK, bK, bN, outputM, outputN);
  writeEpilogueWords(plan, writer);
  const isInPlace = m <= gemvMaxRows && (bN === 1 || bK === 1);
  const isShared = strides[1].every((stride) => stride === 0);
  // No cached panels for 16-bit weights: panels are float32 and would need the memory that the format saves.
  const keepsPanels = !isInPlace && isShared && b.dtype === "float32";
  writer.panels(keepsPanels ? b : undefined, [n, k, bN, bK], Math.ceil(n / 8) * 32 * k);
  for (const { dtype } of [a, b]) writer.i32(Stored[dtype as keyof typeof Stored]);
  writer.i32(extents.length, sizeOf(batch), ...[extents, ...strides].flat());
  endWithEpilogue(plan, rangeOfBlocks(n, epilogueColumns), writer);
}

/** The output's strides; the stride along an extent of 1 is chosen so that rows are contiguous. */
function unitStrides({ view }: Operand, rank: number): [number, number] {
  const [m, n] = view.shape.slice(rank);
  const [strideM, strideN] = view.strides.slice(rank);
  return [m === 1 ? n : strideM, n === 1 ? 1 : strideN];
}

/** Scratch memory for packed blocks or for GEMV, whichever is larger. */
function scratchBytes(m: number, n: number, k: number): number {
  const panels = Math.ceil(Math.min(m <= blockM ? fewColumns : blockN, n) / 8) * 8 * Math.min(blockK, k);
  const blocks = tileBytes + widenedBytes + 4 * (blockM * blockK + panels);
  if (m > gemvMaxRows) return blocks;
  return Math.max(blocks, 4 * (m * (k + 3 + n) + 4 * k));
}
