/**
 * Cost of attention with a run's actual lengths and positions. These are runtime operands, so a Program's own cost assumes the
 * full length. The correction is found by computing these int32 operands on the host from the leaves that they depend on.
 */
import type { TypedArray } from "../core/dtype.js";
import { newArray } from "../core/dtype.js";
import { sizeOf } from "../core/shape.js";
import type { DeviceInfo } from "../device/device.js";
import { distinctBytes } from "../kernels/bytes.js";
import { bytesOf, flopsOf } from "../kernels/cost.js";
import type { AttentionCall, Cost, KernelCall, Operand, Program } from "../kernels/kernel.js";
import { operandsOf } from "../kernels/operands.js";

/** Correction of the Program's cost for one run; undefined if none is needed. `read` returns a leaf's value before the run. */
export function lengthsOfRun(
  program: Program,
  scalars: readonly number[],
  info: DeviceInfo,
  read: (leaf: number) => Promise<TypedArray>,
): Promise<Cost> | undefined {
  const slice = neededCalls(program);
  if (slice === undefined) return undefined;
  // Reads are enqueued in order, so this reads the values before the run.
  const leaves = slice.leaves.map(read);
  return difference(program, slice, scalars, info, leaves);
}

interface Slice {
  readonly calls: readonly KernelCall[];
  readonly leaves: readonly number[];
}

function isRagged(call: KernelCall): call is AttentionCall {
  return call.kernel === "attention" && (call.keyLengths ?? call.queryPositions) !== undefined;
}

/** Attention calls with lengths and the ops that compute the lengths; undefined if none, or if they depend on floats. */
function neededCalls({ calls, leafCount }: Program): Slice | undefined {
  const needed = new Set<number>();
  const kept: KernelCall[] = [];
  for (const call of calls.toReversed()) {
    if (isRagged(call)) {
      for (const operand of [call.keyLengths, call.queryPositions]) if (operand) needed.add(operand.slot);
      kept.unshift(call);
      continue;
    }
    const { reads, writes } = operandsOf(call);
    if (!writes.some(({ slot }) => needed.has(slot))) continue;
    if (reads.some(({ dtype }) => dtype === "float32")) return undefined;
    for (const { slot } of reads) needed.add(slot);
    kept.unshift(call);
  }
  if (needed.size === 0) return undefined;
  return { calls: kept, leaves: [...needed].filter((slot) => slot < leafCount) };
}

async function difference(
  { slots }: Program,
  { calls, leaves }: Slice,
  scalars: readonly number[],
  info: DeviceInfo,
  values: readonly Promise<TypedArray>[],
): Promise<Cost> {
  const { runCall } = await import("../device/reference/reference.js");
  const arrays = new Map<number, TypedArray>();
  for (const [i, leaf] of leaves.entries()) arrays.set(leaf, await values[i]);
  const memory = (slot: number) => {
    const array = arrays.get(slot) ?? newArray(slots[slot].dtype, slots[slot].size);
    arrays.set(slot, array);
    return array;
  };
  let [flops, bytes] = [0, 0];
  for (const call of calls) {
    if (!isRagged(call)) {
      runCall(call, memory, scalars);
      continue;
    }
    const exact = costWith(call, memory, info);
    flops += exact.flops - flopsOf(call);
    bytes += exact.bytes - bytesOf(call, info);
  }
  return { flops, bytes };
}

/** Cost over the visible keys only: the formulas of kernels/attention.ts, summed over the batch. */
function costWith(call: AttentionCall, memory: (slot: number) => TypedArray, info: DeviceInfo): Cost {
  const { q, k, v, mask, output, keyLengths, queryPositions, causal, window } = call;
  const [rows, width] = q.view.shape.slice(-2);
  const [keys, valueWidth] = v.view.shape.slice(-2);
  const batch = sizeOf(output.view.shape.slice(0, -2));
  const [lengths, positions] = [
    valuesOf(keyLengths, memory, keys, batch),
    valuesOf(queryPositions, memory, 0, batch),
  ];
  let [pairs, read] = [0, 0];
  for (let n = 0; n < batch; n++) {
    const length = Math.min(lengths[n], keys);
    let [from, to] = [keys, 0];
    for (let i = 0; i < rows; i++) {
      const position = positions[n] + i;
      const first = window ? Math.max(0, position + 1 - window) : 0;
      const end = causal ? Math.min(length, position + 1) : length;
      pairs += Math.max(0, end - first);
      if (end > first) [from, to] = [Math.min(from, first), Math.max(to, end)];
    }
    read += Math.max(0, to - from);
  }
  const softmax = 4 + (mask?.dtype === "float32" ? 1 : 0);
  const whole = { ...call, causal: false };
  const unread = 1 - read / Math.max(1, batch * keys);
  const skipped = [k, v].reduce((sum, operand) => sum + distinctBytes(operand, info) * unread, 0);
  const hidden = mask && mask.view.strides.at(-1) !== 0 ? distinctBytes(mask, info) * unread : 0;
  return {
    flops: batch * rows * (width + valueWidth) + pairs * (2 * (width + valueWidth) + softmax),
    bytes: bytesOf(whole, info) - skipped - hidden,
  };
}

function valuesOf(
  operand: Operand | undefined,
  memory: (slot: number) => TypedArray,
  otherwise: number,
  batch: number,
): readonly number[] {
  return Array.from({ length: batch }, (_, n) => {
    if (operand === undefined) return otherwise;
    const { shape, strides, offset } = operand.view;
    let [rest, at] = [n, offset];
    for (let d = shape.length - 1; d >= 0; d--) {
      at += (rest % shape[d]) * strides[d];
      rest = Math.floor(rest / shape[d]);
    }
    return memory(operand.slot)[at];
  });
}
