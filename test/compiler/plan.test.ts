/** Memory plans of hand-written kernel calls, for rules that compiled programs do not exercise. */
import { describe, expect, it } from "vitest";
import { plan } from "../../src/compiler/plan.js";
import { rowMajor } from "../../src/core/view.js";
import type { MapCall, Operand } from "../../src/kernels/kernel.js";

const size = 32;

function operand(slot: number): Operand {
  return { slot, dtype: "float32", view: rowMajor([size]) };
}

/** Copies its first input to every output. */
function map(inputs: number[], outputs: number[]): MapCall {
  return {
    kernel: "map",
    shape: [size],
    inputs: inputs.map(operand),
    outputs: outputs.map(operand),
    expression: {
      instructions: [{ op: "load", dtype: "float32", args: [], index: 0 }],
      results: outputs.map(() => 0),
    },
  };
}

function offsetsOf(calls: MapCall[], slotCount: number): readonly number[] {
  const slots = Array.from({ length: slotCount }, () => ({ dtype: "float32" as const, size }));
  return plan(calls, slots, 2).offsets;
}

describe("plan", () => {
  it("gives the memory of a dying input to one of two outputs only", () => {
    const [, , input, first, second] = offsetsOf([map([0], [2]), map([2], [3, 4]), map([3, 4], [1])], 5);
    expect(first).toBe(input);
    expect(second).toBeGreaterThanOrEqual(first + 4 * size);
  });

  it("gives two dying inputs to two outputs", () => {
    const calls = [map([0], [2]), map([0], [3]), map([2, 3], [4, 5]), map([4, 5], [1])];
    const [, , a, b, first, second] = offsetsOf(calls, 6);
    expect([first, second]).toEqual([a, b]);
  });
});
