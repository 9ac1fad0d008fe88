/** Encodes `map`; layout in assembly/map.ts. */
import { sizeOf } from "../../../core/shape.js";
import { memoryOrder } from "../../../core/view.js";
import type { MapCall } from "../../../kernels/kernel.js";
import { type CommandWriter, Opcode } from "../command.js";
import { blockLanes, encodeExpression, type SharesMemory, usesUniform } from "./expression.js";

export function encodeMap(call: MapCall, writer: CommandWriter, sharesMemory: SharesMemory): void {
  if (sizeOf(call.shape) === 0 || call.outputs.length === 0) return;
  // Random numbers depend on logical indices; everything else iterates in the memory order of the first output.
  const logical = call.shape.map((_, d) => d);
  const order = usesUniform(call.expression) ? logical : memoryOrder(call.outputs[0].view);
  writer.begin(Opcode.map);
  const encoded = encodeExpression(call, order, call.outputs, () => blockLanes, sharesMemory, writer);
  encoded.writeOutputs();
  writer.end();
}
