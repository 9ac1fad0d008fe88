/** What the encoders of the quantized products share: the epilogue, and the rows packed at a time. */
import { itemSize } from "../../../core/dtype.js";
import type { Operand, QuantizedEpilogue, WeightFormat } from "../../../kernels/kernel.js";
import { storedOffset } from "../../../kernels/packed.js";
import type { CommandWriter } from "../command.js";
import { align } from "./image.js";

/** One 4 × 8 tile of int32. */
export const tileBytes = 128;
/** The sums of a row and a panel. */
const sumBytes = 32;
/** A packed row's entry in the table of rows. */
export const rowTableLayout = ["address", "correction", "scale", "window"];
export const rowTableBytes = 16;
/** Packed rows, of 16 bits at most, fill half the second-level cache. */
const blockBytes = 262_144;
/** More rows save nothing, and their sums take the weights' place in the first-level cache. */
const mostRows = 256;
/** Steps of 4 along k whose widened weights fill half the first-level cache. */
export const widenedSteps = 256;
/** Kinds of outputs; `scaled` is float32 of sums that are scaled already. */
export const Kind = { int32: 0, float32: 1, int8: 2, scaled: 3 } as const;

/** Parts of the working space, one behind the other. */
export class WorkingSpaces {
  #bytes = 0;

  readonly #writer: CommandWriter;

  constructor(writer: CommandWriter) {
    this.#writer = writer;
  }

  /** Writes the address of the next part. */
  write(bytes: number): void {
    this.#writer.scratch(bytes, this.#bytes);
    this.#bytes += align(bytes);
  }
}

/** Rows of k values that are packed at a time, a multiple of 4. */
export function rowsOfBlock(m: number, k: number): number {
  const fitting = Math.floor(blockBytes / (8 * Math.max(k, 1))) * 4;
  return Math.max(4, Math.min(fitting, mostRows, Math.ceil(m / 4) * 4));
}

/** Bytes of such rows. */
export function packedRowBytes(rows: number, k: number): number {
  return rows * Math.ceil(k / 4) * 8;
}

/** Bytes of the sums of such rows and a panel. */
export function panelSumBytes(rows: number): number {
  return rows * sumBytes;
}

/** Bytes of the part of a panel of weights that is widened at a time: 8 columns of 4 values of 16 bits in a step. */
export function widenedBytes(k: number): number {
  return Math.min(Math.ceil(k / 4), widenedSteps) * 64;
}

export function itemBytes({ dtype }: Operand): number {
  return itemSize[dtype];
}

/**
 * `Finish` of assembly/quantized_epilogue.ts for n columns; `sums` tells whether those are accumulators or scaled already.
 */
export function writeFinish(
  call: QuantizedEpilogue & { readonly output: Operand; readonly format: WeightFormat },
  n: number,
  outputN: number,
  spaces: WorkingSpaces,
  writer: CommandWriter,
  sums: "accumulators" | "scaled" = "accumulators",
): void {
  writer.i32(sums === "scaled" ? Kind.scaled : Kind[call.output.dtype as "int32" | "float32" | "int8"]);
  writer.i32(call.activation === "relu" ? 1 : 0);
  writer.i32(call.zeroPoint ?? 0);
  writer.i32(storedOffset(call.format));
  writer.i32(n);
  const scales = sums === "scaled" ? undefined : call.scales;
  for (const operand of [scales, call.offsets, call.bias]) writeVector(operand, writer);
  writer.i32(outputN);
  spaces.write(3 * 4 * (n + 8));
}

/** Address and stride of an operand of one dimension. */
export function writeVector(operand: Operand | undefined, writer: CommandWriter): void {
  if (operand) writer.address(operand);
  else writer.i32(0);
  writer.i32(operand?.view.strides.at(-1) ?? 0);
}
