/** Random layouts of operands, and runs of one kernel call on two devices with sentinels around every operand. */
import fc from "fast-check";
import { expect } from "vitest";
import { type DType, newArray, type TypedArray } from "../../src/core/dtype.js";
import type { Shape } from "../../src/core/shape.js";
import type { View } from "../../src/core/view.js";
import type { Device } from "../../src/device/device.js";
import type { KernelCall, Operand, Program } from "../../src/kernels/kernel.js";
import { reference } from "../devices.js";

/** How a tensor lies in memory, for any shape. */
export interface Layout {
  /** Sorts the dimensions, outermost first. */
  readonly order: readonly number[];
  /** Elements skipped behind each dimension's extent. */
  readonly gaps: readonly number[];
  /** Between neighbours of the innermost dimension. */
  readonly step: number;
  readonly offset: number;
  readonly reversed: readonly boolean[];
}

const ranks = 6;

/** Dense layouts and such with gaps; inputs may also run backwards. */
export function layouts({ reversible }: { readonly reversible: boolean }): fc.Arbitrary<Layout> {
  const each = <T>(one: fc.Arbitrary<T>) => fc.array(one, { minLength: ranks, maxLength: ranks });
  return fc.record({
    order: each(fc.nat(99)),
    gaps: fc.oneof(fc.constant(new Array<number>(ranks).fill(0)), each(fc.nat(2))),
    step: fc.constantFrom(1, 1, 1, 2),
    offset: fc.nat(5),
    reversed: reversible
      ? fc.oneof(fc.constant(new Array<boolean>(ranks).fill(false)), each(fc.boolean()))
      : fc.constant(new Array<boolean>(ranks).fill(false)),
  });
}

/** A dense layout with the dimensions in this order, outermost first. */
export function plain(order: readonly number[]): Layout {
  const zeros = new Array<number>(ranks).fill(0);
  return { order, gaps: zeros, step: 1, offset: 0, reversed: new Array<boolean>(ranks).fill(false) };
}

/** The view, and how many elements its buffer has. */
export function lay(shape: Shape, { order, gaps, step, offset, reversed }: Layout): [View, number] {
  const dims = shape.map((_, d) => d).sort((a, b) => order[a] - order[b] || a - b);
  const strides = new Array<number>(shape.length);
  let next = step;
  for (const d of dims.reverse()) {
    strides[d] = next;
    next *= Math.max(shape[d], 1) + gaps[d];
  }
  let first = offset;
  shape.forEach((extent, d) => {
    if (!reversed[d] || extent === 0) return;
    first += (extent - 1) * strides[d];
    strides[d] = -strides[d];
  });
  return [{ shape, strides, offset: first }, offset + next];
}

/** A leaf of the call: an operand's buffer, filled around the elements of its view with what must not be touched. */
export interface Leaf {
  readonly operand: Operand;
  readonly data: TypedArray;
}

/** In gaps of what is only read: it shows in every result that it gets into. */
const poison = Number.NaN;
/** In gaps of what is written. */
const sentinel = -77;

function positionsOf({ shape, strides, offset }: View): number[] {
  let positions = [offset];
  shape.forEach((extent, d) => {
    positions = positions.flatMap((p) => Array.from({ length: extent }, (_, i) => p + i * strides[d]));
  });
  return positions;
}

/** An input with the given values in logical order. */
export function input(
  slot: number,
  shape: Shape,
  layout: Layout,
  value: (i: number) => number,
  dtype: DType = "float32",
): Leaf {
  const [view, size] = lay(shape, layout);
  const data = newArray(dtype, size).fill(poison) as TypedArray;
  positionsOf(view).forEach((position, i) => {
    data[position] = value(i);
  });
  return { operand: { slot, dtype, view }, data };
}

/** An output, which the call fills. */
export function output(slot: number, shape: Shape, layout: Layout, dtype: DType = "float32"): Leaf {
  const [view, size] = lay(shape, layout);
  return { operand: { slot, dtype, view }, data: newArray(dtype, size).fill(sentinel) as TypedArray };
}

/** Elements of the buffers that lie between the operands' own. */
const guardSize = 24;

async function run(device: Device, call: KernelCall, leaves: readonly Leaf[]): Promise<TypedArray[]> {
  const guards = leaves.map(() => new Float32Array(guardSize).fill(sentinel));
  const arrays = leaves.flatMap(({ data }, i) => [data, guards[i]]);
  const dtypes = leaves.flatMap(({ operand }): DType[] => [operand.dtype, "float32"]);
  const program: Program = {
    calls: [call],
    slots: arrays.map(({ length }, i) => ({ dtype: dtypes[i], size: length, offset: -1 })),
    leafCount: arrays.length,
    scalars: [],
    arenaBytes: 0,
  };
  const buffers = arrays.map((array, i) => {
    const buffer = device.allocate(dtypes[i], array.length);
    device.write(buffer, array);
    return buffer;
  });
  const executable = device.prepare(program);
  device.run(executable, buffers, []);
  const results = await Promise.all(buffers.map((buffer) => device.read(buffer)));
  device.release(executable);
  for (const buffer of buffers) device.free(buffer);
  return results;
}

/** The slot of the leaf with this number: a guard lies behind each. */
export function slotOf(number: number): number {
  return 2 * number;
}

/**
 * Runs the call on `device` and on the reference, and compares all elements of all buffers: results within
 * `tolerance`, and everything else, in the operands' gaps and in the guards between them, unchanged.
 */
export async function expectSame(
  device: Device,
  call: KernelCall,
  leaves: readonly Leaf[],
  tolerance: number,
): Promise<void> {
  const [got, want] = [await run(device, call, leaves), await run(reference, call, leaves)];
  got.forEach((actual, slot) => {
    for (let i = 0; i < actual.length; i++) {
      const [x, y] = [actual[i], want[slot][i]];
      if (Object.is(x, y) || Math.abs(x - y) <= tolerance) continue;
      expect.fail(`slot ${slot}, element ${i}: ${x}, expected ${y} ± ${tolerance}`);
    }
  });
}

/** As many roundings for each term of a sum as tolerance.ts grants. */
export function sumTolerance(terms: number): number {
  return 8 * 2 ** -24 * Math.max(terms, 1);
}
