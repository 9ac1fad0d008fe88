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

/** Sums the cost of calls. `alike` maps a call to an earlier one with equal cost, which is computed only once. */
export function costOf(
  calls: readonly KernelCall[],
  stored: Stored,
  alike: Program["alike"] = new Map(),
): Cost {
  const known = new Map<KernelCall, Cost>();
  let flops = 0;
  let bytes = 0;
  for (const call of calls) {
    const first = alike.get(call) ?? call;
    let cost = known.get(first);
    if (cost === undefined) {
      cost = { flops: flopsOf(first), bytes: bytesOf(first, stored) };
      known.set(first, cost);
    }
    flops += cost.flops;
    bytes += cost.bytes;
  }
  return { flops, bytes };
}
