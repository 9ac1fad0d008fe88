/** Shared by the encoders of quantized products: dequantization and epilogue, and the number of rows packed at a time. */
import { itemSize } from "../../../core/dtype.js";
import { denseInOrder } from "../../../core/view.js";
import { epilogueMap } from "../../../kernels/epilogue.js";
import type { MapCall, Operand, QuantizedFormat, QuantizedProduct } from "../../../kernels/kernel.js";
import { storedOffset } from "../../../kernels/packed.js";
import type { CommandWriter } from "../command.js";
import { chainOf, rangeOfBlocks } from "./epilogue.js";
import { blockLanes, blockSlot, encodeExpression } from "./expression.js";
import { align } from "./image.js";

/** Bytes of the sums of one row and one panel. */
const sumBytes = 32;
/** A packed row's entry in the table of rows. */
export const rowTableLayout = "address correction scale window element";
export const rowTableBytes = 20;
/** Bytes of packed rows per block: half the L2 cache. */
const blockBytes = 262_144;
/** Maximum rows per block: more save nothing, and their sums would evict the weights from the L1 cache. */
const mostRows = 256;
/** Steps of 4 along k per widened part of a panel: half the L1 cache. */
export const widenedSteps = 256;
/** Up to this many rows, GEMV (assembly/qgemv.ts) reads pieces of several panels in turn. */
export const gemvRows = 4;
/** Panels that GEMV reads in turn, each with its own sums. */
export const gemvStreams = 4;
/** Steps of 4 along k, of 32 bytes for eight columns, in a piece. */
export const pieceSteps = 16;
/** Kinds of results of eight sums; `floats` is float32 from sums that are already float32. */
export const Kind = { int32: 0, float32: 1, int8: 2, floats: 3 } as const;
/** Maximum columns to which the rest of an epilogue is applied at a time. */
const mostBlockColumns = 512;

/**
 * Dequantization of sums, eight columns at a time. int32: sums + offsets. float32: · scales · scale of the row + bias, then ReLU if `relu`.
 * int8: then round(· factor) + zero point. With `isBlockwise` the results are stored in a block of `blockColumns` columns, and the
 * expression after these words computes the output from the block.
 */
export const dequantizationLayout =
  "kind relu factor zeroPoint storedOffset columns scales scalesN offsets offsetsN bias biasN " +
  "outputN space isBlockwise blockColumns block";

/** Consecutive parts of scratch memory. */
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

/** Number of rows of k values packed at a time, a multiple of 4. */
export function rowsOfBlock(m: number, k: number): number {
  const fitting = Math.floor(blockBytes / (8 * Math.max(k, 1))) * 4;
  return Math.max(4, Math.min(fitting, mostRows, Math.ceil(m / 4) * 4));
}

/** Bytes of packed rows. */
export function packedRowBytes(rows: number, k: number): number {
  return rows * Math.ceil(k / 4) * 8;
}

/** Bytes of the sums of the rows and one panel. */
export function panelSumBytes(rows: number): number {
  return rows * sumBytes;
}

/** Bytes of the part of a panel of weights that is widened at a time: 8 columns × 4 int16 values per step. */
export function widenedBytes(k: number): number {
  return Math.min(Math.ceil(k / 4), widenedSteps) * 64;
}

export function itemBytes({ dtype }: Operand): number {
  return itemSize[dtype];
}

type Product = QuantizedProduct & { readonly output: Operand; readonly format: QuantizedFormat };

/**
 * `Dequantization` of assembly/quantized_epilogue.ts, at the end of a payload.
 * @param rows rows of a block.
 * @param order the dimensions of the output in iteration order, columns last.
 * @param outputN stride of the columns in bytes.
 * @param floats for float32 sums: whether they are scaled already.
 */
export function writeDequantization(
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
    // An epilogue of another shape is only attached to row-major outputs, whose elements have the same order.
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
  // Padded, because loops read whole vectors.
  spaces.write(rest ? 4 * rows * blockColumns + 16 : 0);
  if (!rest) return;
  const range = rangeOfBlocks(columns, blockColumns);
  encodeExpression(rest, dims, rest.outputs, () => blockLanes, Object.is, writer, range).writeOutputs();
}

/** Writes address and stride of a 1-D operand; 0 if it is absent. */
export function writeVector(operand: Operand | undefined, writer: CommandWriter): void {
  if (operand) writer.address(operand);
  else writer.i32(0);
  writer.i32(operand?.view.strides.at(-1) ?? 0);
}
