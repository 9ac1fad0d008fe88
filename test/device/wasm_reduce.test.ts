import { beforeAll, describe, expect, it } from "vitest";
import { type DType, newArray, type TypedArray } from "../../src/core/dtype.js";
import { IndexError } from "../../src/core/errors.js";
import { sizeOf } from "../../src/core/shape.js";
import { denseInOrder, expandView, rowMajor, type View } from "../../src/core/view.js";
import { openWasm, type WasmDevice } from "../../src/device/wasm/wasm.js";
import type { KernelCall } from "../../src/kernels/kernel.js";
import { check, load, operand, programOf, random, relaxedWorks } from "./wasm_check.js";

for (const binary of ["simd", "relaxed"] as const) {
  describe.skipIf(binary === "relaxed" && !relaxedWorks)(`wasm (${binary})`, () => {
    let device: WasmDevice;
    beforeAll(async () => {
      device = await openWasm({ binary });
    });

    it("reduces rows, columns and what lies between", async () => {
      const cases: [number[], number[], View?][] = [
        [[7, 10], [1]],
        [[7, 1000], [1]],
        [[64, 10], [0]],
        [[130, 37], [0]],
        [[3, 700], [0]],
        [[5, 11, 6], [1]],
        [
          [5, 11, 6],
          [0, 2],
        ],
        [
          [4, 3, 20, 20],
          [0, 2, 3],
        ],
        [[4, 8, 9, 9], [0, 2, 3], denseInOrder([4, 8, 9, 9], [0, 2, 3, 1])],
        [[2, 600], [], undefined],
        [
          [3, 4],
          [0, 1],
        ],
        [[1500], [0]],
        [[5, 1, 300], [2], expandView(rowMajor([1, 1, 300]), [5, 1, 300])],
      ];
      for (const [shape, axes, view] of cases) {
        const resultShape = shape.map((extent, d) => (axes.includes(d) ? 1 : extent));
        for (const op of ["sum", "max", "min", "prod", "argmax", "argmin"] as const) {
          if (op.startsWith("arg") && axes.length !== 1) continue;
          for (const dtype of ["float32", "int32"] as const) {
            for (const squared of [false, true]) {
              const size = sizeOf(shape);
              const result: DType = op.startsWith("arg") ? "int32" : dtype;
              const call: KernelCall = {
                kernel: "reduce",
                op,
                shape,
                axes,
                inputs: [operand(0, dtype, view ?? rowMajor(shape))],
                output: operand(1, result, rowMajor(resultShape, 3)),
                expression: {
                  instructions: [load(0, dtype), { op: "mul", dtype, args: [0, 0] }],
                  results: [squared ? 1 : 0],
                },
              };
              const values = random(size, op === "prod" ? 2.2 : 8);
              const source = dtype === "int32" ? Int32Array.from(values) : values;
              if (op === "prod" && dtype === "int32") source.fill(1).set([2, 3, -1]);
              const target = newArray(result, sizeOf(resultShape) + 8).fill(6) as TypedArray;
              await check(device, [source, target], [call], op === "sum" ? { absolute: 2e-3 } : { ulps: 40 });
            }
          }
        }
      }
    });

    it("reduces with NaN, infinities, and nothing at all", async () => {
      const n = 50;
      for (const fill of [
        [NaN, 30],
        [Infinity, 20],
        [-Infinity, 0],
      ] as const) {
        const source = random(n);
        source[fill[1]] = fill[0];
        source[40] = fill[0];
        for (const op of ["max", "min", "argmax", "argmin", "sum"] as const) {
          const result: DType = op.startsWith("arg") ? "int32" : "float32";
          const call: KernelCall = {
            kernel: "reduce",
            op,
            shape: [n],
            axes: [0],
            inputs: [operand(0, "float32", rowMajor([n]))],
            output: operand(1, result, rowMajor([1])),
            expression: { instructions: [load(0, "float32")], results: [0] },
          };
          await check(device, [source, newArray(result, 1) as TypedArray], [call], { ulps: 4 });
        }
      }
      for (const [op, value] of [
        ["sum", 0],
        ["max", -Infinity],
        ["min", Infinity],
        ["prod", 1],
      ] as const) {
        const call: KernelCall = {
          kernel: "reduce",
          op,
          shape: [2, 0],
          axes: [1],
          inputs: [operand(0, "float32", rowMajor([2, 0]))],
          output: operand(1, "float32", rowMajor([2, 1])),
          expression: { instructions: [load(0, "float32")], results: [0] },
        };
        const buffers = [device.allocate("float32", 1), device.allocate("float32", 2)];
        const leaves = [new Float32Array(1), new Float32Array(2)];
        device.run(device.prepare(programOf(leaves, ["float32", "float32"], [call])), buffers, []);
        expect([...(await device.read(buffers[1]))]).toEqual([value, value]);
      }
    });

    it("sums a million float32 numbers accurately", async () => {
      const n = 1 << 20;
      for (const shape of [
        [1, n],
        [n / 4, 4],
      ]) {
        const call: KernelCall = {
          kernel: "reduce",
          op: "sum",
          shape,
          axes: [shape[0] === 1 ? 1 : 0],
          inputs: [operand(0, "float32", rowMajor(shape))],
          output: operand(1, "float32", rowMajor(shape[0] === 1 ? [1, 1] : [1, 4])),
          expression: { instructions: [load(0, "float32")], results: [0] },
        };
        const source = random(n).map((x) => x + 0.1);
        await check(device, [source, new Float32Array(4)], [call], { ulps: 4 });
      }
    });

    it("gathers and scatters rows and elements", async () => {
      const table = random(50 * 12);
      const rows = Int32Array.from([3, 49, 0, 3, 7]);
      const index = operand(1, "int32", { shape: [5, 12], strides: [1, 0], offset: 0 });
      const tableView: View = { shape: [5, 12], strides: [0, 1], offset: 0 };
      const shape = [5, 12];
      const axis = { axisStride: 12, axisSize: 50 };
      const gather: KernelCall = {
        kernel: "gather",
        shape,
        source: operand(0, "float32", tableView),
        index,
        output: operand(2, "float32", rowMajor(shape, 1)),
        ...axis,
      };
      await check(device, [table, rows, new Float32Array(70)], [gather]);
      const scatter: KernelCall = {
        kernel: "scatterAdd",
        shape,
        source: operand(2, "float32", rowMajor(shape, 1)),
        index,
        output: operand(0, "float32", tableView),
        ...axis,
      };
      await check(device, [table, rows, random(70)], [scatter], { ulps: 1 });
      const labels: KernelCall = {
        kernel: "gather",
        shape: [50, 1],
        source: operand(0, "int8", { shape: [50, 1], strides: [12, 0], offset: 0 }),
        index: operand(1, "uint8", rowMajor([50, 1])),
        output: operand(2, "int8", rowMajor([50, 1], 2)),
        axisStride: 1,
        axisSize: 12,
      };
      const bytes = Int8Array.from(table, (x) => x * 20);
      await check(
        device,
        [bytes, Uint8Array.from({ length: 50 }, (_, i) => i % 12), new Int8Array(60)],
        [labels],
      );
    });

    it("reports an index outside the axis at every read of the result, and at no other", async () => {
      const call: KernelCall = {
        kernel: "gather",
        shape: [2],
        source: operand(0, "float32", { shape: [2], strides: [0], offset: 0 }),
        index: operand(1, "int32", rowMajor([2])),
        output: operand(2, "float32", rowMajor([2])),
        axisStride: 1,
        axisSize: 4,
      };
      const buffers = [
        device.allocate("float32", 4),
        device.allocate("int32", 2),
        device.allocate("float32", 2),
      ];
      device.write(buffers[1], Int32Array.of(-1, 2));
      const leaves = [new Float32Array(4), new Int32Array(2), new Float32Array(2)];
      device.run(device.prepare(programOf(leaves, ["float32", "int32", "float32"], [call])), buffers, []);
      await expect(device.read(buffers[0])).resolves.toBeDefined();
      await expect(device.read(buffers[2])).rejects.toThrow(IndexError);
      await expect(device.read(buffers[2])).rejects.toThrow("gather: index -1 of 4 elements");
      device.write(buffers[1], Int32Array.of(1, 2));
      device.run(device.prepare(programOf(leaves, ["float32", "int32", "float32"], [call])), buffers, []);
      await expect(device.read(buffers[2])).resolves.toBeDefined();
    });
  });
}
