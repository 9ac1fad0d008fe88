/** Runs single kernel calls on the wasm device and compares every element with the oracle. */
import { expect } from "vitest";
import type { DType, TypedArray } from "../../src/core/dtype.js";
import type { View } from "../../src/core/view.js";
import { loadKernels } from "../../src/device/wasm/binaries.js";
import type { WasmDevice } from "../../src/device/wasm/wasm.js";
import type { Instruction, KernelCall, Operand, Program } from "../../src/kernels/kernel.js";
import { oracle } from "./wasm_oracle.js";

/** Whether this engine runs the relaxed binary. */
export const relaxedWorks = await loadKernels("relaxed").then(
  () => true,
  () => false,
);

/** A leaf-only program of the given calls. */
export function programOf(
  leaves: readonly TypedArray[],
  dtypes: DType[],
  calls: KernelCall[],
  scalars: DType[] = [],
) {
  const slots = leaves.map((leaf, i) => ({ dtype: dtypes[i], size: leaf.length, offset: -1 }));
  return { calls, slots, leafCount: leaves.length, scalars, arenaBytes: 0 } satisfies Program;
}

export function dtypeOf(array: TypedArray): DType {
  if (array instanceof Float32Array) return "float32";
  if (array instanceof Int32Array) return "int32";
  return array instanceof Int8Array ? "int8" : "uint8";
}

export function load(index: number, dtype: DType): Instruction {
  return { op: "load", dtype, args: [], index };
}

export function operand(slot: number, dtype: DType, view: View): Operand {
  return { slot, dtype, view };
}

/** Runs calls over leaves on the device and in the oracle, and compares every element of every leaf. */
export async function check(
  device: WasmDevice,
  leaves: TypedArray[],
  calls: KernelCall[],
  {
    scalars = [] as number[],
    scalarTypes = [] as DType[],
    ulps = 0,
    absolute = 0,
    dtypes = [] as DType[],
  } = {},
): Promise<void> {
  const types = leaves.map((leaf, i) => dtypes[i] ?? dtypeOf(leaf));
  const buffers = leaves.map((leaf, i) => device.allocate(types[i], leaf.length));
  buffers.forEach((buffer, i) => {
    device.write(buffer, leaves[i]);
  });
  const executable = device.prepare(programOf(leaves, types, calls, scalarTypes));
  device.run(executable, buffers, scalars);
  const expected = leaves.map((leaf) => leaf.slice() as TypedArray);
  for (const call of calls) oracle(call, expected, scalars);
  for (let i = 0; i < leaves.length; i++) {
    const actual = await device.read(buffers[i]);
    for (let k = 0; k < actual.length; k++) {
      const [x, y] = [actual[k], expected[i][k]];
      const tolerance = Math.max(absolute, ulps * Math.abs(y) * 2 ** -23, ulps * 1.2e-38);
      const close = Object.is(x, y) || (x === y && ulps + absolute > 0) || Math.abs(x - y) <= tolerance;
      if (!close && !(x === y && x === 0)) expect.fail(`leaf ${i}[${k}]: ${x}, expected ${y}`);
    }
  }
  device.release(executable);
  for (const buffer of buffers) device.free(buffer);
}

export function random(size: number, scale = 4): Float32Array {
  let state = size * 7919 + 17;
  return Float32Array.from({ length: size }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.fround((state / 2 ** 32 - 0.5) * scale);
  });
}
