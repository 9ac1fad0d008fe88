/** Encodes `gather` and `scatterAdd`; layout in assembly/indexing.ts. */
import { isFloat, itemSize } from "../../../core/dtype.js";
import { DTypeError } from "../../../core/errors.js";
import { sizeOf } from "../../../core/shape.js";
import { memoryOrder } from "../../../core/view.js";
import type { GatherCall, ScatterAddCall } from "../../../kernels/kernel.js";
import { type CommandWriter, Opcode } from "../command.js";
import { coalesce, loadAccess } from "./strides.js";

/** The words of both payloads. */
export const indexingLayout =
  "rank axisStride axisSize itemShift isInt indexAccess source index output ignores ignored extents";

export function encodeIndexing(call: GatherCall | ScatterAddCall, writer: CommandWriter): void {
  if (sizeOf(call.shape) === 0) return;
  const { source, index, output } = call;
  if (isFloat(index.dtype)) {
    throw new DTypeError(`indices are integers, not ${index.dtype}`, { op: call.kernel });
  }
  const isWord = output.dtype === "float32" || output.dtype === "int32";
  if (source.dtype !== output.dtype || (call.kernel === "scatterAdd" && !isWord)) {
    throw new DTypeError(`no kernel for ${source.dtype} into ${output.dtype}`, { op: call.kernel });
  }
  // Iterates in the memory order of the dense operand: the output of gather, the source of scatterAdd.
  const order = memoryOrder((call.kernel === "gather" ? output : source).view);
  const { extents, strides } = coalesce(call.shape, order, [
    source.view.strides,
    index.view.strides,
    output.view.strides,
  ]);
  writer.begin(call.kernel === "gather" ? Opcode.gather : Opcode.scatterAdd);
  writer.i32(
    extents.length,
    call.axisStride,
    call.axisSize,
    Math.log2(itemSize[output.dtype]),
    output.dtype === "int32" ? 1 : 0,
    loadAccess(index.dtype),
  );
  writer.address(source);
  writer.address(index);
  writer.address(output);
  writer.i32(call.ignored === undefined ? 0 : 1, call.ignored ?? 0, ...[extents, ...strides].flat());
  writer.end();
}
