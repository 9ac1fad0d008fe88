/** Encodes `write`; layout in assembly/write.ts. */
import { itemSize } from "../../../core/dtype.js";
import { sizeOf } from "../../../core/shape.js";
import { memoryOrder } from "../../../core/view.js";
import type { WriteCall } from "../../../kernels/write.js";
import { type CommandWriter, Opcode } from "../command.js";
import { coalesce } from "./strides.js";

export const writeLayout =
  "rank rows length axisStride positionCount itemShift source position output sourceStride outputStride " +
  "extents";

export function encodeWrite(call: WriteCall, writer: CommandWriter): void {
  const { source, position, output, axisStride, positionCount } = call;
  const operands = [source, position, output];
  const lists = operands.map(({ view }) => view.strides);
  const { extents, strides } = coalesce(source.view.shape, memoryOrder(output.view), lists);
  // A row has one position.
  if (strides[1].at(-1) !== 0) {
    extents.push(1);
    for (const list of strides) list.push(1);
  }
  writer.begin(Opcode.write);
  writer.i32(
    extents.length - 1,
    sizeOf(extents.slice(0, -1)),
    extents.at(-1)!,
    axisStride,
    positionCount,
    Math.log2(itemSize[output.dtype]),
  );
  for (const operand of operands) writer.address(operand);
  for (const list of [strides[0], strides[2]]) writer.i32(list.at(-1)!);
  for (const list of [extents, ...strides]) for (const word of list.slice(0, -1)) writer.i32(word);
  writer.end();
}
