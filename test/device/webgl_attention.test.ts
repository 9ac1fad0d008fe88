/** The method by which the WebGL device computes attention, and a bound on the memory for scores. */
import { describe, expect, it } from "vitest";
import { sizeOf } from "../../src/core/shape.js";
import { rowMajor } from "../../src/core/view.js";
import { preparePasses } from "../../src/device/webgl/prepare.js";
import type { PassBuilder } from "../../src/device/webgl/shader/builder.js";
import type { AttentionCall, Operand } from "../../src/kernels/kernel.js";
import { webglTarget } from "./webgl_target.js";

/** A software rasteriser, which splits sums only where there are few. */
const target = { ...webglTarget, fragments: 256 };

function prepared(
  [batch, rows, keys, width]: readonly [number, number, number, number],
  { causal = false, drawBuffers = target.drawBuffers as number } = {},
): PassBuilder {
  const shapes = [rows, keys, keys, rows].map((length) => [batch, length, width]);
  const [q, k, v, output] = shapes.map(
    (shape, slot): Operand => ({ slot, dtype: "float32", view: rowMajor(shape) }),
  );
  const call: AttentionCall = { kernel: "attention", q, k, v, output, scale: 1, causal };
  const program = {
    calls: [call],
    slots: shapes.map((shape) => ({ dtype: "float32" as const, size: sizeOf(shape), offset: -1 })),
    leafCount: shapes.length,
    scalars: [],
    arenaBytes: 0,
    cost: { flops: 0, bytes: 0 },
  };
  return preparePasses(program, { ...target, drawBuffers }, { blend: false });
}

function passesOf(builder: PassBuilder): string[] {
  return builder.steps.flatMap((step) => (step.kind === "pass" ? [step.pass.name] : []));
}

const byRows = ["attention rows", "attention merge"];
const byTiles = ["matmul tiles", "attention statistics", "attention weights", "matmul tiles", "matmul merge"];

describe("attention on WebGL", () => {
  it("goes by rows where there are few, with scores of their own if columns take several fragments", () => {
    expect(passesOf(prepared([4, 1, 1024, 16]))).toEqual(byRows);
    expect(passesOf(prepared([4, 1, 1024, 64]))).toEqual(["attention scores", ...byRows]);
    expect(passesOf(prepared([4, 3, 1024, 64]))).toEqual(["attention scores", ...byRows]);
  });

  it("goes by rows where a fragment holds all columns and heads are narrow, half hidden or too small for tiles", () => {
    expect(passesOf(prepared([64, 128, 128, 32], { causal: true }))).toEqual(byRows);
    expect(passesOf(prepared([64, 128, 128, 32], { causal: true, drawBuffers: 4 }))).toEqual(byTiles);
    expect(passesOf(prepared([12, 128, 128, 64], { causal: true }))).toEqual(byTiles);
    expect(passesOf(prepared([64, 128, 128, 32]))).toEqual(byTiles);
    expect(passesOf(prepared([64, 128, 128, 16]))).toEqual(byRows);
    expect(passesOf(prepared([64, 8, 8, 32]))).toEqual(byRows);
  });

  it("needs neither several render targets nor whole texels", () => {
    for (const builder of [
      prepared([2, 1, 40, 16], { drawBuffers: 1 }),
      prepared([2, 40, 40, 16], { drawBuffers: 1 }),
      prepared([2, 3, 40, 7], { causal: true }),
    ]) {
      expect(passesOf(builder).some((name) => name.startsWith("attention"))).toBe(false);
    }
  });

  it("keeps no scores by rows, and a part of the batch's by tiles", () => {
    // Sizes of arrays are those of a layer.
    const largest = ({ scratches }: PassBuilder) =>
      Math.max(
        ...scratches.map(
          ({ size, targetLayout }) =>
            size * (targetLayout && "layers" in targetLayout ? targetLayout.layers : 1),
        ),
      );
    const [heads, length, width] = [48, 2048, 32];
    const rows = prepared([heads, length, length, width], { causal: true });
    expect(largest(rows)).toBe(heads * length * width);
    const tiles = prepared([heads, length, length, width]);
    expect(passesOf(tiles).filter((name) => name === "attention weights").length).toBeGreaterThan(1);
    expect(largest(tiles)).toBeLessThanOrEqual(2 ** 24);
    // A matrix of its own is not divided.
    expect(passesOf(prepared([1, 8192, 8192, width]))).toEqual(byTiles);
  });
});
