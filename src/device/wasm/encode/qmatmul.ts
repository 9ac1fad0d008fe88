/** Encodes `qmatmul` for assembly/qmatmul_i8.ts, qmatmul_groups.ts and qmatmul_f32.ts. */
import { sizeOf } from "../../../core/shape.js";
import type { Operand, QmatmulCall } from "../../../kernels/kernel.js";
import { type CommandWriter, Opcode } from "../command.js";
import {
  gemvRows,
  gemvStreams,
  itemBytes,
  packedRowBytes,
  panelSumBytes,
  rowsOfBlock,
  rowTableBytes,
  WorkingSpaces,
  widenedBytes,
  writeDequantization,
  writeVector,
} from "./quantized.js";
import { tileBytes } from "./tile.js";

/** The first words of all payloads: strides of the input in elements, row stride of the output in bytes. */
export const operandsLayout = "m n k input weight output inputM inputK outputM";

/** The words of each payload after those, before the dequantization. */
export const qmatmulLayout =
  "inputScales inputScalesM blockRows sums table packed gathered widened dequantization";
export const qmatmulFloatLayout = "blockRows tile table packed panel dequantization";
export const qmatmulGroupsLayout =
  "inputScales inputScalesM inputScalesG groups groupSize scales scalesN scaleSpace minimums minimumsN " +
  "minimumSpace factors isByte blockRows sums table packed dequantization";

/** Per group, after a packed row's values: correction subtracted from the sum (int32), scale of the input, scaled sum of inputs (float32). */
export const groupEntryLayout = "correction scale total";

/** Bytes of rows that are packed at a time for weights in groups and for float32 rows: a quarter of the second-level cache. */
const blockBytes = 131_072;

export function encodeQmatmul(call: QmatmulCall, writer: CommandWriter): void {
  if (sizeOf(call.output.view.shape) === 0) return;
  if (call.format.groupSize !== undefined) encodeGroups(call, call.format.groupSize, writer);
  else if (call.input.dtype === "float32") encodeFloat(call, writer);
  else encodeInt8(call, writer);
}

/** Rows of a block, a multiple of 4 if there are that many. */
function blockRows(m: number, rowBytes: number): number {
  return Math.min(m, Math.max(4, Math.floor(blockBytes / Math.max(rowBytes, 1) / 4) * 4));
}

/** m, n, k; addresses of input, weight and output; strides. */
function writeOperands({ input, weight, output }: QmatmulCall, writer: CommandWriter): void {
  const [m, k] = input.view.shape;
  writer.i32(m, output.view.shape[1], k);
  for (const operand of [input, weight, output]) writer.address(operand);
  writer.i32(
    input.view.strides[0],
    k === 1 ? 1 : input.view.strides[1],
    output.view.strides[0] * itemBytes(output),
  );
}

/** Stride of the columns in bytes; for a single column chosen so that rows are contiguous. */
function columnStep(output: Operand): number {
  return (output.view.shape[1] === 1 ? 1 : output.view.strides[1]) * itemBytes(output);
}

function encodeInt8(call: QmatmulCall, writer: CommandWriter): void {
  const { input } = call;
  const [m, k] = input.view.shape;
  const spaces = new WorkingSpaces(writer);
  const rows = rowsOfBlock(m, k);
  writer.begin(Opcode.qmatmul);
  writeOperands(call, writer);
  writeVector(call.inputScales, writer);
  writer.i32(rows);
  spaces.write(gemvStreams * panelSumBytes(rows));
  spaces.write(rows * rowTableBytes);
  spaces.write(packedRowBytes(rows, k));
  spaces.write(4 * k);
  spaces.write(widenedBytes(k));
  end(call, rows, spaces, writer);
}

function encodeGroups(call: QmatmulCall, groupSize: number, writer: CommandWriter): void {
  const { input, inputScales, scales, minimums, format } = call;
  const [m, k] = input.view.shape;
  const groups = k / groupSize;
  // Packed values of at most 16 bits, and the entry of each group.
  const rowBytes = 2 * k + 12 * groups;
  const rows = blockRows(m, rowBytes);
  const count = scales!.view.shape[0];
  const spaces = new WorkingSpaces(writer);
  writer.begin(Opcode.qmatmulGroups);
  writeOperands(call, writer);
  writer.address(inputScales!);
  for (const stride of inputScales!.view.strides) writer.i32(stride);
  writer.i32(groups, groupSize);
  for (const factors of [scales, minimums]) {
    writeVector(factors, writer);
    spaces.write(factors?.view.strides[0] === 1 ? 0 : 4 * count);
  }
  writer.i32(count, format.bits === 8 ? 1 : 0, rows);
  spaces.write(gemvStreams * panelSumBytes(rows));
  spaces.write(rows * rowTableBytes);
  spaces.write(rows * rowBytes);
  end(call, rows, spaces, writer, "scaled");
}

function encodeFloat(call: QmatmulCall, writer: CommandWriter): void {
  const { input } = call;
  const [m, k] = input.view.shape;
  const rowBytes = Math.ceil(k / 4) * 16;
  const rows = blockRows(m, rowBytes);
  const spaces = new WorkingSpaces(writer);
  writer.begin(Opcode.qmatmulFloat);
  writeOperands(call, writer);
  writer.i32(rows);
  spaces.write(tileBytes + gemvStreams * panelSumBytes(rows));
  spaces.write(rows * rowTableBytes);
  spaces.write(rows * rowBytes);
  spaces.write(8 * rowBytes);
  end(call, rows, spaces, writer, "unscaled");
}

/** The epilogue of rows × columns: after GEMV of all columns at a time, because its panels are not in order. */
function end(
  call: QmatmulCall,
  rows: number,
  spaces: WorkingSpaces,
  writer: CommandWriter,
  floats?: "unscaled" | "scaled",
): void {
  const { output } = call;
  const columns = output.view.shape[0] > gemvRows ? undefined : Number.POSITIVE_INFINITY;
  writeDequantization(call, rows, [0, 1], columnStep(output), spaces, writer, floats, columns);
  writer.end();
}
