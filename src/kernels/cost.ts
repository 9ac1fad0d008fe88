/** The cost of a Program: exact floating-point operations and bytes, computed at compile time. */
import { distinctBytes, type Stored } from "./bytes.js";
import { operandsOf } from "./operands.js";
import type { Cost, Program } from "./program.js";
import { type KernelCall, recordOf } from "./table.js";

/** 2 per multiply-add of a product, of floats or integers; 1 per element for each arithmetic instruction, transcendental or not. */
export function flopsOf(call: KernelCall): number {
  return recordOf(call).flops(call);
}

/** Bytes that the call reads and writes on a device that stores elements as `stored` says; each element of an operand counts once. */
export function bytesOf(call: KernelCall, stored: Stored): number {
  const record = recordOf(call);
  if (record.bytes) return record.bytes(call, stored);
  const { reads, writes } = operandsOf(call);
  let bytes = -(record.untouched?.(call, stored) ?? 0);
  for (const operands of [reads, writes]) {
    for (const operand of operands) bytes += distinctBytes(operand, stored);
  }
  return bytes;
}

/** Sums the cost of calls. `alike`, as in a Program: calls of equal cost, which is computed only once. */
export function costOf(calls: readonly KernelCall[], stored: Stored, alike?: Program["alike"]): Cost {
  const known: Cost[] = [];
  let flops = 0;
  let bytes = 0;
  calls.forEach((call, i) => {
    const first = alike?.[i] ?? i;
    known[i] = known[first] ?? { flops: flopsOf(call), bytes: bytesOf(call, stored) };
    flops += known[i].flops;
    bytes += known[i].bytes;
  });
  return { flops, bytes };
}
