/** The tensors of a Program that are stored as half floats, and those that stay float32. */
import { describe, expect, it } from "vitest";
import type { DType } from "../../src/core/dtype.js";
import { DeviceError } from "../../src/core/errors.js";
import { rowMajor } from "../../src/core/view.js";
import { type Capabilities, chooseStorage } from "../../src/device/webgl/gl/context.js";
import type { FloatStorage } from "../../src/device/webgl/gl/storage.js";
import { preparePasses } from "../../src/device/webgl/prepare.js";
import type { Expression, KernelCall, MapCall, Operand } from "../../src/kernels/kernel.js";
import { webglTarget } from "./webgl_target.js";

const target = { ...webglTarget, floats: "rgba16f", halfInfinity: 0x7f800000 } as const;

const size = 4096;

const operand = (slot: number, extent = size, dtype: DType = "float32"): Operand => ({
  slot,
  dtype,
  view: rowMajor([extent]),
});

/** Slot `to` = Σ of the slots `from`. */
function add(from: readonly number[], to: number): MapCall {
  const loads: Expression["instructions"] = from.map((_, index) => ({
    op: "load",
    dtype: "float32",
    args: [],
    index,
  }));
  const sums: Expression["instructions"] = from.slice(1).map((_, i) => ({
    op: "add",
    dtype: "float32",
    args: [i === 0 ? 0 : from.length + i - 1, i + 1],
  }));
  return {
    kernel: "map",
    shape: [size],
    inputs: from.map((slot) => operand(slot)),
    outputs: [operand(to)],
    expression: { instructions: [...loads, ...sums], results: [from.length + sums.length - 1] },
  };
}

/** Names of the formats of all slots and scratch textures, and what the shaders round. */
function formatsOf(
  calls: readonly KernelCall[],
  sizes: readonly number[],
  leafCount: number,
  integers: readonly number[] = [],
) {
  const program = {
    calls,
    slots: sizes.map((n, slot) => {
      const dtype: DType = integers.includes(slot) ? "int32" : "float32";
      return { dtype, size: n, offset: -1 };
    }),
    leafCount,
    scalars: [],
    arenaBytes: 0,
    cost: { flops: 0, bytes: 0 },
  };
  const builder = preparePasses(program, target, { blend: true });
  const ids = [...program.slots, ...builder.scratches].map((_, id) => id);
  const rounds = builder.steps.map(
    (step) => step.kind === "pass" && step.pass.fragment.includes("roundToHalf("),
  );
  return { formats: ids.map((id) => builder.formatOf(id).name), rounds };
}

it("half floats are stored when asked for, never by themselves, and never silently something else", () => {
  const integers = ["rgba32i", "rgba16ui", "rgba8i", "rgba8ui"] as const;
  const having = (...floats: FloatStorage[]) =>
    ({ renderer: "a driver", exact: [...floats, ...integers] }) as unknown as Capabilities;
  const all = having("rgba32f", "rgba32ui", "rgba16f");
  expect(chooseStorage(all, "rgba16f")).toBe("rgba16f");
  expect(chooseStorage(all, "auto")).toBe("rgba32f");
  expect(() => chooseStorage(having("rgba16f"), "auto")).toThrow(DeviceError);
  expect(() => chooseStorage(having("rgba32f", "rgba32ui"), "rgba16f")).toThrow(/half-float.*auto/s);
});

describe("half floats are", () => {
  it("leaves that are read, temporaries and results", () => {
    const { formats, rounds } = formatsOf([add([0, 1], 3), add([3, 0], 2)], [size, size, size, size], 3);
    expect(formats).toEqual(["rgba16f", "rgba16f", "rgba16f", "rgba16f"]);
    expect(rounds).toContain(true);
  });

  it("results that a later kernel reads", () => {
    const { formats } = formatsOf([add([0, 0], 1), add([1, 1], 2)], [size, size, size], 3);
    expect(formats).toEqual(["rgba16f", "rgba16f", "rgba16f"]);
  });

  it("not leaves that are updated from their old value", () => {
    const { formats, rounds } = formatsOf([add([0, 1], 0)], [size, size], 2);
    expect(formats).toEqual(["rgba32f", "rgba16f"]);
    expect(rounds).toEqual([false]);
  });

  it("not the parts of a sum", () => {
    const sum: KernelCall = {
      kernel: "reduce",
      op: "sum",
      shape: [size],
      axes: [0],
      inputs: [operand(0)],
      expression: { instructions: [{ op: "load", dtype: "float32", args: [], index: 0 }], results: [0] },
      output: { slot: 1, dtype: "float32", view: rowMajor([1]) },
    };
    const { formats, rounds } = formatsOf([sum], [size, 1], 2);
    expect(formats.slice(0, 2)).toEqual(["rgba16f", "rgba16f"]);
    expect(formats.length).toBeGreaterThan(2);
    expect(new Set(formats.slice(2))).toEqual(new Set(["rgba32f"]));
    expect(rounds.at(-1)).toBe(true);
    expect(rounds.slice(0, -1)).not.toContain(true);
  });

  it("not what scatterAdd adds to", () => {
    const scatter: KernelCall = {
      kernel: "scatterAdd",
      shape: [size],
      source: operand(0),
      index: operand(1, size, "int32"),
      output: { ...operand(2, 8), view: { shape: [size], strides: [0], offset: 0 } },
      axisStride: 1,
      axisSize: 8,
    };
    const { formats } = formatsOf([scatter], [size, size, 8], 3, [1]);
    expect(formats).toEqual(["rgba16f", "rgba32i", "rgba32f"]);
  });
});
