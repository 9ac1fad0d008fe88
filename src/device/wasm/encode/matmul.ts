/** Encodes `matmul`; layout in assembly/gemm_f32.ts. */
import { sizeOf } from "../../../core/shape.js";
import type { MatmulCall, Operand } from "../../../kernels/kernel.js";
import { type CommandWriter, Opcode } from "../command.js";
import { collapse } from "./strides.js";

/** Blocks of assembly/gemm_f32.ts, in elements. */
const blockM = 128;
const blockK = 256;
const blockN = 2048;
/** One 4 × 8 tile. */
const tileBytes = 128;

export function encodeMatmul({ a, b, output, bias, activation }: MatmulCall, writer: CommandWriter): void {
  const rank = output.view.shape.length - 2;
  const [m, n] = output.view.shape.slice(rank);
  const k = a.view.shape[rank + 1];
  const batch = output.view.shape.slice(0, rank);
  if (sizeOf(output.view.shape) === 0) return;
  const order = batch.map((_, d) => d);
  const operands: readonly (Operand | undefined)[] = [a, b, output, bias];
  const batchStrides = operands.map((operand) => operand?.view.strides.slice(0, rank) ?? batch.map(() => 0));
  const { extents, strides } = collapse(batch, order, batchStrides);

  writer.begin(Opcode.matmul);
  for (const extent of [m, n, k]) writer.i32(extent);
  writer.address(a);
  writer.address(b);
  writer.address(output);
  if (bias) writer.address(bias);
  else writer.i32(0);
  writer.scratch(scratchBytes(m, n, k));
  const [aM, aK] = a.view.strides.slice(rank);
  const [bK, bN] = b.view.strides.slice(rank);
  const [outputM, outputN] = unitStrides(output, rank);
  const [biasM, biasN] = bias ? bias.view.strides.slice(rank) : [0, 0];
  const words = [aM, aK, bK, bN, outputM, outputN, m === 1 ? 0 : biasM, n === 1 ? 1 : biasN];
  for (const stride of words) writer.i32(stride);
  writer.i32(activation === "relu" ? 1 : 0);
  writer.i32(extents.length);
  writer.i32(sizeOf(batch));
  for (const list of [extents, ...strides]) for (const word of list) writer.i32(word);
  writer.end();
}

/** The output's strides; where an extent of 1 leaves one open, such that the rows are contiguous. */
function unitStrides({ view }: Operand, rank: number): [number, number] {
  const [m, n] = view.shape.slice(rank);
  const [strideM, strideN] = view.strides.slice(rank);
  return [m === 1 ? n : strideM, n === 1 ? 1 : strideN];
}

/** The larger of the packed blocks (of either orientation) and of the rows of the matrix-vector path. */
function scratchBytes(m: number, n: number, k: number): number {
  const panels = (columns: number) => Math.ceil(Math.min(blockN, columns) / 8) * 8 * Math.min(blockK, k);
  const packed = tileBytes + 4 * (blockM * blockK + Math.max(panels(n), panels(m)));
  const rows = 4 * (k + 4 + Math.max(m, n));
  return Math.max(packed, rows);
}
