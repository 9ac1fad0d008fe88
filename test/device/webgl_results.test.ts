/** Deferred results of the WebGL device: which are fused into the next map, and which get a separate pass. */
import { describe, expect, it } from "vitest";
import { rowMajor } from "../../src/core/view.js";
import { preparePasses } from "../../src/device/webgl/prepare.js";
import type { KernelCall, MapCall, Operand, Program, ReduceCall } from "../../src/kernels/kernel.js";
import { webglTarget } from "./webgl_target.js";

const [rows, columns] = [64, 8];

const operand = (slot: number, shape: readonly number[]): Operand => ({
  slot,
  dtype: "float32",
  view: rowMajor(shape),
});

/** Slot `to` = sums of the rows of slot `from`. */
function sums(from: number, to: number): ReduceCall {
  return {
    kernel: "reduce",
    op: "sum",
    shape: [columns, rows],
    axes: [1],
    inputs: [operand(from, [columns, rows])],
    expression: { instructions: [{ op: "load", dtype: "float32", args: [], index: 0 }], results: [0] },
    output: operand(to, [columns, 1]),
  };
}

/** Slot `to` = −slot `from`, read through `view`. */
function negated(from: number, to: number, view = rowMajor([columns])): MapCall {
  return {
    kernel: "map",
    shape: view.shape,
    inputs: [{ ...operand(from, [columns]), view }],
    outputs: [operand(to, view.shape)],
    expression: {
      instructions: [
        { op: "load", dtype: "float32", args: [], index: 0 },
        { op: "neg", dtype: "float32", args: [0] },
      ],
      results: [1],
    },
  };
}

/** Names of the passes. Slots 0 to 2 are leaves: a matrix, a row, a matrix of two rows; 3 and 4 are temporaries. */
function passesOf(calls: readonly KernelCall[]): string[] {
  const sizes = [rows * columns, columns, 2 * columns, columns, columns];
  const program: Program = {
    calls,
    slots: sizes.map((size) => ({ dtype: "float32", size, offset: -1 })),
    leafCount: 3,
    scalars: [],
    arenaBytes: 0,
  };
  return preparePasses(program, webglTarget, { blend: true }).steps.map((step) =>
    step.kind === "pass" ? step.pass.name : step.kind,
  );
}

describe("results of the WebGL device", () => {
  it("are computed by the map that alone reads them", () => {
    expect(passesOf([sums(0, 3), negated(3, 1)])).toEqual(["reduce sum and map"]);
  });

  it("are not taken over by a map that reads something else", () => {
    const calls = [sums(0, 3), negated(1, 4), negated(3, 1)];
    expect(passesOf(calls)).toEqual(["reduce sum", "map", "map"]);
  });

  it("are stored where others read them too", () => {
    expect(passesOf([sums(0, 3), negated(3, 4), negated(3, 1)])).toEqual(["reduce sum", "map", "map"]);
  });

  it("are stored where the caller gets them", () => {
    expect(passesOf([sums(0, 1), negated(1, 4)])).toEqual(["reduce sum", "map"]);
  });

  it("are stored where a map needs other elements than its own", () => {
    const repeated = { shape: [2, columns], strides: [0, 1], offset: 0 };
    const reversed = { shape: [columns], strides: [-1], offset: columns - 1 };
    expect(passesOf([sums(0, 3), negated(3, 2, repeated)])).toEqual(["reduce sum", "map"]);
    expect(passesOf([sums(0, 3), negated(3, 1, reversed)])).toEqual(["reduce sum", "map"]);
  });
});
