import { beforeAll, describe, expect, it } from "vitest";
import { type DType, newArray, type TypedArray } from "../../src/core/dtype.js";
import { sizeOf } from "../../src/core/shape.js";
import {
  denseInOrder,
  expandView,
  permuteView,
  rowMajor,
  sliceView,
  type View,
} from "../../src/core/view.js";
import { openWasm, type WasmDevice } from "../../src/device/wasm/wasm.js";
import type { BinaryOp, Expression, Instruction, KernelCall, UnaryOp } from "../../src/kernels/kernel.js";
import { check, load, operand, programOf, random, relaxedWorks } from "./wasm_check.js";

const special = [
  0,
  -0,
  1,
  -1,
  0.5,
  -2.5,
  1.5,
  2.5,
  Infinity,
  -Infinity,
  NaN,
  1e-40,
  -1e-40,
  3e38,
  -3e38,
  88,
  -88,
  104,
  1e5,
];

for (const binary of ["simd", "relaxed"] as const) {
  describe.skipIf(binary === "relaxed" && !relaxedWorks)(`wasm (${binary})`, () => {
    let device: WasmDevice;
    beforeAll(async () => {
      device = await openWasm({ binary });
    });

    const unaryCall = (
      op: UnaryOp,
      n: number,
      dtype: DType = "float32",
      result: DType = dtype,
    ): KernelCall => ({
      kernel: "map",
      shape: [n],
      inputs: [operand(0, dtype, rowMajor([n]))],
      outputs: [operand(1, result, rowMajor([n], 5))],
      expression: { instructions: [load(0, dtype), { op, dtype: result, args: [0] }], results: [1] },
    });

    const ulps: Partial<Record<UnaryOp, number>> = {
      exp: 2,
      log: 2,
      tanh: 7,
      erf: 7,
      sigmoid: 6,
      sin: 2,
      cos: 2,
    };
    ulps.rsqrt = 2;
    for (const op of "neg abs sign exp log sqrt rsqrt reciprocal sin cos tanh sigmoid erf relu floor ceil round trunc".split(
      " ",
    ) as UnaryOp[]) {
      it(`computes ${op}`, async () => {
        const absolute = op === "sin" || op === "cos" ? 1.2e-7 : 0;
        // exp flushes nothing, sigmoid and tiny arguments lose denormals: 1.2e-38 is far below any use.
        const options = { ulps: ulps[op] ?? 0, absolute: op === "sigmoid" ? 1e-37 : absolute };
        const values = op === "sin" || op === "cos" ? special.filter((x) => !(Math.abs(x) > 1e6)) : special;
        const input = Float32Array.from([...values, ...random(3000, 20), ...random(500, 0.01)]);
        await check(
          device,
          [input, new Float32Array(input.length + 9).fill(77)],
          [unaryCall(op, input.length)],
          options,
        );
        if (op !== "sin" && op !== "cos") return;
        const far = random(2000, 2e5);
        await check(device, [far, new Float32Array(far.length + 9)], [unaryCall(op, far.length)], options);
      });
    }

    it("computes integer and logical unary operations", async () => {
      const ints = Int32Array.from([0, 1, -1, 5, -7, 2 ** 31 - 1, -(2 ** 31)]);
      for (const op of ["neg", "abs", "sign", "relu", "floor"] as UnaryOp[]) {
        await check(device, [ints, new Int32Array(12)], [unaryCall(op, 7, "int32")]);
      }
      const floats = Float32Array.from(special);
      const call = unaryCall("isnan", floats.length, "float32", "bool");
      await check(device, [floats, new Uint8Array(floats.length + 9).fill(9)], [call], {
        dtypes: ["float32", "bool"],
      });
      const bools = Uint8Array.from([0, 1, 1, 0, 1]);
      await check(device, [bools, new Uint8Array(11)], [unaryCall("not", 5, "bool")], {
        dtypes: ["bool", "bool"],
      });
    });

    const binaryExpression = (op: BinaryOp, dtype: DType, result: DType): Expression => ({
      instructions: [load(0, dtype), load(1, dtype), { op, dtype: result, args: [0, 1] }],
      results: [2],
    });
    const comparisons = ["eq", "ne", "lt", "le", "gt", "ge"];

    for (const op of "add sub mul div pow mod max min eq ne lt le gt ge".split(" ") as BinaryOp[]) {
      it(`computes ${op} of blocks, numbers and rows`, async () => {
        const result: DType = comparisons.includes(op) ? "bool" : "float32";
        const pairs = special.flatMap((x) => special.map((y) => [x, y]));
        const n = pairs.length;
        const a = Float32Array.from(pairs, ([x]) => x);
        const b = Float32Array.from(pairs, ([, y]) => y);
        const options = { ulps: op === "pow" ? 2 : 0, dtypes: ["float32", "float32", result] as DType[] };
        const call = (x: View, y: View): KernelCall => ({
          kernel: "map",
          shape: [n],
          inputs: [operand(0, "float32", x), operand(1, "float32", y)],
          outputs: [operand(2, result, rowMajor([n], 3))],
          expression: binaryExpression(op, "float32", result),
        });
        const whole = rowMajor([n]);
        const one = (at: number): View => ({ shape: [n], strides: [0], offset: at });
        await check(device, [a, b, newArray(result, n + 7)], [call(whole, whole)], options);
        const tame = random(n, 8);
        await check(device, [tame, tame, newArray(result, n + 7)], [call(whole, one(9))], options);
        await check(device, [tame, tame, newArray(result, n + 7)], [call(one(4), whole)], options);
        await check(device, [tame, tame, newArray(result, n + 7)], [call(one(4), one(5))], options);
      });
    }

    it("computes integer arithmetic", async () => {
      const values = [0, 1, -1, 3, -3, 7, -8, 2 ** 31 - 1, -(2 ** 31), 123456789];
      const a = Int32Array.from(values.flatMap((x) => values.map(() => x)));
      const b = Int32Array.from(values.flatMap(() => values));
      const n = a.length;
      for (const op of "add sub mul div mod max min eq ne lt le gt ge and or xor".split(" ") as BinaryOp[]) {
        const result: DType = comparisons.includes(op) ? "bool" : "int32";
        const call: KernelCall = {
          kernel: "map",
          shape: [n],
          inputs: [operand(0, "int32", rowMajor([n])), operand(1, "int32", rowMajor([n]))],
          outputs: [operand(2, result, rowMajor([n]))],
          expression: binaryExpression(op, "int32", result),
        };
        await check(device, [a, b, newArray(result, n)], [call], { dtypes: ["int32", "int32", result] });
      }
    });

    it("casts between all dtypes", async () => {
      const types: DType[] = ["float32", "int32", "uint8", "int8", "bool"];
      for (const from of types) {
        for (const to of types) {
          const n = 61;
          const source = newArray(from, n) as TypedArray;
          for (let i = 0; i < n; i++)
            source[i] = from === "bool" ? i % 2 : (i - 30) * (from === "float32" ? 17.3 : 11);
          if (from === "float32") source.set([NaN, Infinity, -Infinity, 3e9, -3e9]);
          const call: KernelCall = {
            kernel: "map",
            shape: [n],
            inputs: [operand(0, from, rowMajor([n]))],
            outputs: [operand(1, to, rowMajor([n], 2))],
            expression: { instructions: [load(0, from), { op: "cast", dtype: to, args: [0] }], results: [1] },
          };
          await check(device, [source, newArray(to, n + 5) as TypedArray], [call], { dtypes: [from, to] });
        }
      }
    });

    it("stays inside its output for every tail length", async () => {
      for (let n = 1; n <= 35; n++) {
        const call: KernelCall = {
          kernel: "map",
          shape: [n],
          inputs: [operand(0, "float32", rowMajor([n], 1)), operand(1, "float32", rowMajor([n], 3))],
          outputs: [operand(2, "float32", rowMajor([n], 3))],
          expression: binaryExpression("add", "float32", "float32"),
        };
        await check(device, [random(n + 4), random(n + 5), new Float32Array(n + 40).fill(-9)], [call]);
      }
    });

    it("walks strided, broadcast, reversed and permuted views", async () => {
      const views: [number[], View][] = [
        [[6, 10], permuteView(rowMajor([10, 6]), [1, 0])],
        [[6, 10], expandView(rowMajor([10]), [6, 10])],
        [[6, 10], expandView(rowMajor([6, 1]), [6, 10])],
        [[300, 3], expandView(rowMajor([3]), [300, 3])],
        [[70, 10], expandView(rowMajor([10]), [70, 10])],
        [[9, 255], expandView(rowMajor([255]), [9, 255])],
        [[60, 4, 5], expandView(rowMajor([4, 1]), [60, 4, 5])],
        [
          [6, 10],
          sliceView(rowMajor([6, 20]), [
            { start: 5, length: 6, step: -1 },
            { start: 1, length: 10, step: 2 },
          ]),
        ],
        [[3, 300], expandView(rowMajor([300]), [3, 300])],
        [
          [3, 299],
          sliceView(rowMajor([3, 400]), [
            { start: 0, length: 3, step: 1 },
            { start: 7, length: 299, step: 1 },
          ]),
        ],
        [[2, 5, 7, 9], denseInOrder([2, 5, 7, 9], [0, 2, 3, 1])],
        [[5, 1, 700], permuteView(rowMajor([700, 1, 5]), [2, 1, 0])],
      ];
      for (const [shape, view] of views) {
        const size = sizeOf(shape);
        const outputs = [
          rowMajor(shape, 2),
          denseInOrder(
            shape,
            shape.map((_, d) => shape.length - 1 - d),
          ),
        ];
        for (const out of outputs) {
          const call: KernelCall = {
            kernel: "map",
            shape,
            inputs: [operand(0, "float32", view), operand(1, "uint8", rowMajor(shape))],
            outputs: [operand(2, "float32", out), operand(3, "bool", outputs[0])],
            expression: {
              instructions: [
                load(0, "float32"),
                load(1, "uint8"),
                { op: "cast", dtype: "float32", args: [1] },
                { op: "iota", dtype: "int32", args: [], index: shape.length - 1 },
                { op: "cast", dtype: "float32", args: [3] },
                { op: "add", dtype: "float32", args: [2, 4] },
                { op: "mul", dtype: "float32", args: [0, 5] },
                { op: "lt", dtype: "bool", args: [0, 6] },
              ],
              results: [6, 7],
            },
          };
          const bytes = Uint8Array.from({ length: size }, (_, i) => i % 251);
          const leaves = [
            random(12000),
            bytes,
            new Float32Array(size + 9).fill(5),
            new Uint8Array(size + 9).fill(3),
          ];
          await check(device, leaves, [call], { dtypes: ["float32", "uint8", "float32", "bool"] });
        }
      }
    });

    it("updates in place with runtime scalars, several outputs and invariant subexpressions", async () => {
      const n = 1543;
      const f = (op: BinaryOp | UnaryOp, ...args: number[]): Instruction => ({ op, dtype: "float32", args });
      const scalar = (index: number): Instruction => ({ op: "scalar", dtype: "float32", args: [], index });
      const instructions: Instruction[] = [
        load(0, "float32"),
        load(1, "float32"),
        load(2, "float32"),
        load(3, "float32"),
        scalar(0),
        { op: "constant", dtype: "float32", args: [], value: 1 },
        f("sub", 5, 4),
        f("mul", 1, 4),
        f("mul", 3, 6),
        f("add", 7, 8),
        f("mul", 3, 3),
        f("mul", 2, 4),
        f("mul", 10, 6),
        f("add", 11, 12),
        f("sqrt", 13),
        scalar(1),
        f("add", 14, 15),
        f("div", 9, 16),
        f("pow", 4, 15),
        f("mul", 17, 18),
        f("sub", 0, 19),
      ];
      const leaf = (slot: number) => operand(slot, "float32", rowMajor([n]));
      const call: KernelCall = {
        kernel: "map",
        shape: [n],
        inputs: [leaf(0), leaf(1), leaf(2), leaf(3)],
        outputs: [leaf(1), leaf(2), leaf(0)],
        expression: { instructions, results: [9, 13, 20] },
      };
      const leaves = [random(n), random(n, 1), random(n, 1).map(Math.abs), random(n, 2)];
      await check(device, leaves, [call], {
        scalars: [0.9, 0.01],
        scalarTypes: ["float32", "float32"],
        absolute: 3e-6,
      });
    });

    it("writes in place although the old value is needed again", async () => {
      const n = 1030;
      const call: KernelCall = {
        kernel: "map",
        shape: [n],
        inputs: [operand(0, "float32", rowMajor([n]))],
        outputs: [operand(0, "float32", rowMajor([n])), operand(1, "float32", rowMajor([n]))],
        expression: {
          instructions: [
            load(0, "float32"),
            { op: "abs", dtype: "float32", args: [0] },
            { op: "sub", dtype: "float32", args: [0, 1] },
          ],
          results: [1, 2],
        },
      };
      await check(device, [random(n), new Float32Array(n)], [call]);
    });

    it("writes in place although the old value leaves unchanged", async () => {
      for (const n of [1030, 1027]) {
        const call: KernelCall = {
          kernel: "map",
          shape: [n],
          inputs: [operand(0, "float32", rowMajor([n]))],
          outputs: [operand(0, "float32", rowMajor([n])), operand(1, "float32", rowMajor([n]))],
          expression: {
            instructions: [load(0, "float32"), { op: "abs", dtype: "float32", args: [0] }],
            results: [1, 0],
          },
        };
        await check(device, [random(n), new Float32Array(n)], [call]);
      }
    });

    it("copies, fills and selects", async () => {
      const n = 777;
      const whole = rowMajor([n]);
      const call: KernelCall = {
        kernel: "map",
        shape: [n],
        inputs: [operand(0, "float32", whole), operand(1, "bool", whole)],
        outputs: [operand(2, "float32", whole), operand(3, "float32", whole), operand(4, "float32", whole)],
        expression: {
          instructions: [
            load(0, "float32"),
            load(1, "bool"),
            { op: "constant", dtype: "float32", args: [], value: -3.5 },
            { op: "where", dtype: "float32", args: [1, 0, 2] },
          ],
          results: [0, 2, 3],
        },
      };
      const mask = Uint8Array.from({ length: n }, (_, i) => (i % 3 === 0 ? 1 : 0));
      const empty = () => new Float32Array(n);
      await check(device, [random(n), mask, empty(), empty(), empty()], [call], {
        dtypes: ["float32", "bool"],
      });
    });

    it("draws the Random123 known answers of Philox4x32-10", async () => {
      // Key (a4093822, 299f31d0) belongs to a counter with other words; ours is [i / 4, 0, offset, 0] with key 0.
      const call: KernelCall = {
        kernel: "map",
        shape: [23],
        inputs: [],
        outputs: [operand(0, "float32", rowMajor([23]))],
        expression: { instructions: [{ op: "uniform", dtype: "float32", args: [], index: 0 }], results: [0] },
      };
      const buffer = device.allocate("float32", 23);
      const program = programOf([new Float32Array(23)], ["float32"], [call], ["int32", "int32", "int32"]);
      const executable = device.prepare(program);
      device.run(executable, [buffer], [0, 0, 0]);
      const first = await device.read(buffer);
      const zeros = [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8];
      expect([...first.slice(0, 4)]).toEqual(zeros.map((word) => Math.fround((word >>> 8) * 2 ** -24)));
      device.run(executable, [buffer], [5, -3, 77]);
      const drawn = await device.read(buffer);
      for (let i = 0; i < 23; i++) {
        const word = philox([i >> 2, 0, 77, 0], [5, -3])[i % 4];
        expect(drawn[i]).toBe(Math.fround((word >>> 8) * 2 ** -24));
      }
    });
  });
}

/** Philox4x32-10 as in the paper, in BigInt. */
function philox(counter: number[], key: number[]): number[] {
  let c = counter.map((x) => x >>> 0);
  let [k0, k1] = key.map((x) => x >>> 0);
  for (let round = 0; round < 10; round++) {
    const p0 = BigInt(c[0]) * 0xd2511f53n;
    const p1 = BigInt(c[2]) * 0xcd9e8d57n;
    const high = (p: bigint) => Number(p >> 32n);
    const low = (p: bigint) => Number(p & 0xffffffffn);
    c = [(high(p1) ^ c[1] ^ k0) >>> 0, low(p1), (high(p0) ^ c[3] ^ k1) >>> 0, low(p0)];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return c;
}
