/** What the encoders of the quantized products share: dequantization and epilogue, and the rows packed at a time. */
import { itemSize } from "../../../core/dtype.js";
import { denseInOrder } from "../../../core/view.js";
import { epilogueMap } from "../../../kernels/epilogue.js";
import type { MapCall, Operand, QuantizedFormat, QuantizedProduct } from "../../../kernels/kernel.js";
import { storedOffset } from "../../../kernels/packed.js";
import type { CommandWriter } from "../command.js";
import { chainOf, rangeOfBlocks } from "./epilogue.js";
import { blockLanes, blockSlot, encodeExpression } from "./expression.js";
import { align } from "./image.js";

/** One 4 × 8 tile of int32. */
export const tileBytes = 128;
/** The sums of a row and a panel. */
const sumBytes = 32;
/** A packed row's entry in the table of rows. */
export const rowTableLayout = "address correction scale window element";
export const rowTableBytes = 20;
/** Packed rows, of 16 bits at most, fill half the second-level cache. */
const blockBytes = 262_144;
/** More rows save nothing, and their sums take the weights' place in the first-level cache. */
const mostRows = 256;
/** Steps of 4 along k whose widened weights fill half the first-level cache. */
export const widenedSteps = 256;
/** What is made of eight sums: `floats` is float32 of sums that are float32 themselves. */
export const Kind = { int32: 0, float32: 1, int8: 2, floats: 3 } as const;
/** Columns of a block of rows on which what is left of an epilogue works at a time. */
const mostBlockColumns = 512;

/**
 * What becomes of sums, eight columns at a time: sums + offsets, and for results of float32 · scales · the row's scale + bias, maybe
 * a ReLU, and for int8 · factor, rounded, + zero point. With `isBlockwise` that goes to a block of so many columns of the rows, and
 * the expression behind these words makes the output of it.
 */
export const finishLayout =
  "kind relu factor zeroPoint storedOffset columns scales scalesN offsets offsetsN bias biasN " +
  "outputN space isBlockwise blockColumns block";

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

type Product = QuantizedProduct & { readonly output: Operand; readonly format: QuantizedFormat };

/**
 * `Finish` of assembly/quantized_epilogue.ts, at the end of a payload.
 * @param rows of a block.
 * @param order the dimensions of the output in the order in which rows and columns follow each other.
 * @param outputN bytes from column to column.
 * @param floats whether the sums are float32, and whether those are scaled already.
 */
export function writeFinish(
  call: Product,
  rows: number,
  order: readonly number[],
  outputN: number,
  spaces: WorkingSpaces,
  writer: CommandWriter,
  floats?: "unscaled" | "scaled",
  mostColumns = mostBlockColumns,
): void {
  const { output, offsets, epilogue } = call;
  const columns = output.view.shape[order.at(-1)!];
  const blockColumns = Math.min(columns, mostColumns);
  let { scales } = call;
  let kind: number = floats ? Kind.floats : scales ? Kind.float32 : Kind.int32;
  let bias: Operand | undefined;
  let relu = false;
  let [factor, zeroPoint] = [1, 0];
  let rest: MapCall | undefined;
  let dims = order;
  if (epilogue) {
    const { shape } = epilogue;
    // Under another shape a row-major output has the same elements in the same order.
    if (shape.length !== order.length) dims = shape.map((_, d) => d);
    const dtype = scales ? "float32" : "int32";
    const block: Operand = { slot: blockSlot, dtype, view: denseInOrder(shape, dims) };
    const {
      take,
      takeColumns,
      takeBiasAndRelu,
      rest: left,
    } = chainOf(epilogueMap(block, output, epilogue), shape[dims.at(-1)!]);
    if (!scales && take("cast", (cast) => cast.dtype === "float32")) {
      kind = Kind.float32;
      scales = takeColumns("roundedMul");
    }
    if (kind) [bias, relu] = takeBiasAndRelu();
    rest = left();
    if (kind === Kind.float32) {
      const constant = (op: "roundedMul" | "add") => take(op, (other) => other.op === "constant")?.value;
      factor = constant("roundedMul") ?? factor;
      if (take("round")) {
        zeroPoint = constant("add") ?? zeroPoint;
        if (take("cast") && !left() && output.dtype === "int8") [kind, rest] = [Kind.int8, undefined];
      }
    }
  }
  writer.i32(kind, relu ? 1 : 0);
  for (const word of [factor, zeroPoint]) writer.f32(word);
  writer.i32(storedOffset(call.format), columns);
  for (const operand of [floats === "scaled" ? undefined : scales, offsets, bias])
    writeVector(operand, writer);
  writer.i32(rest ? 4 : outputN);
  spaces.write(3 * 4 * (columns + 8));
  writer.i32(rest ? 1 : 0, blockColumns);
  // Loops read whole vectors.
  spaces.write(rest ? 4 * rows * blockColumns + 16 : 0);
  if (!rest) return;
  const range = rangeOfBlocks(columns, blockColumns);
  encodeExpression(rest, dims, rest.outputs, () => blockLanes, Object.is, writer, range).writeOutputs();
}

/** Address and stride of an operand of one dimension. */
export function writeVector(operand: Operand | undefined, writer: CommandWriter): void {
  if (operand) writer.address(operand);
  else writer.i32(0);
  writer.i32(operand?.view.strides.at(-1) ?? 0);
}
