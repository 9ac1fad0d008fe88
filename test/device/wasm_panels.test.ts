/** Cached panels of weights (src/device/wasm/panels.ts): they never change a bit, and are dropped when stale or when memory is short. */
import { describe, expect, it } from "vitest";
import type { TypedArray } from "../../src/core/dtype.js";
import { openWasm, type WasmDevice } from "../../src/device/wasm/wasm.js";
import {
  add,
  conv2d,
  convTranspose2d,
  crossEntropy,
  indexSelect,
  matmul,
  sum,
  type Tensor,
  tensor,
} from "../../src/index.js";
import { Linear, ReLU, Sequential } from "../../src/nn/index.js";
import { AdamW } from "../../src/optim/index.js";
import { assign } from "../../src/runtime/assign.js";
import { commit } from "../../src/runtime/commit.js";
import { uniform } from "../cases/generate.js";

const numbers = (size: number, seed: number) =>
  Float32Array.from({ length: size }, (_, i) => 2 * uniform(seed, i) - 1);

function filled(device: WasmDevice, shape: number[], seed: number): Tensor {
  return tensor(
    numbers(
      shape.reduce((x, y) => x * y, 1),
      seed,
    ),
    { shape, device },
  );
}

const sameBits = (x: TypedArray, y: TypedArray) =>
  x.length === y.length && Buffer.from(x.buffer).equals(Buffer.from(y.buffer));

const panelBytes = (device: WasmDevice) => device.memory().panelBytes;

/** What `compute` gives for the same leaves again and again: without a copy, while one is made, and with it. */
async function thrice(device: WasmDevice, shapes: number[][], compute: (...leaves: Tensor[]) => Tensor) {
  const leaves = shapes.map((shape, i) => filled(device, shape, i + 1));
  const results = [];
  for (let i = 0; i < 3; i++) results.push(await compute(...leaves).data());
  // While the leaves live.
  const bytes = panelBytes(device);
  for (const leaf of leaves) leaf.dispose();
  expect(panelBytes(device)).toBe(0);
  return { results, bytes };
}

type Work = readonly [
  name: string,
  shapes: number[][],
  compute: (x: Tensor, w: Tensor) => Tensor,
  kept: number,
];

/** Bytes of panels: columns in eights. */
const bytesOf = (n: number, k: number) => Math.ceil(n / 8) * 32 * k;

const product = (m: number, k: number, n: number, isTransposed: boolean): Work => [
  `[${m}, ${k}] × [${k}, ${n}]${isTransposed ? " of [n, k]" : ""}`,
  [[m, k], isTransposed ? [n, k] : [k, n]],
  (x, w) => matmul(x, isTransposed ? w.transpose(0, 1) : w),
  bytesOf(n, k),
];

const works: readonly Work[] = [
  ...[false, true].flatMap((isTransposed) => [
    product(17, 7, 5, isTransposed),
    product(20, 257, 70, isTransposed),
    product(64, 512, 33, isTransposed),
    product(130, 600, 72, isTransposed),
    product(129, 300, 2060, isTransposed),
  ]),
  [
    "batches that share a weight",
    [
      [3, 20, 65],
      [65, 40],
    ],
    (x, w) => matmul(x, w),
    bytesOf(40, 65),
  ],
  [
    "few rows, in place",
    [
      [16, 65],
      [65, 40],
    ],
    (x, w) => matmul(x, w),
    0,
  ],
  [
    "1 × 1 convolution",
    [
      [2, 20, 6, 5],
      [30, 20, 1, 1],
    ],
    (x, w) => conv2d(x, w),
    bytesOf(30, 20),
  ],
  [
    "convolution of groups",
    [
      [1, 8, 7, 7],
      [20, 4, 3, 3],
    ],
    (x, w) => conv2d(x, w, undefined, { groups: 2 }),
    2 * bytesOf(10, 36),
  ],
  [
    "transposed convolution",
    [
      [1, 6, 5, 5],
      [6, 9, 3, 3],
    ],
    (x, w) => convTranspose2d(x, w, undefined, { stride: 2 }),
    bytesOf(9, 54),
  ],
];

describe("wasm panels", () => {
  it.each(works)("%s: the same bits with and without a copy", async (_name, shapes, compute, bytes) => {
    const [device, without] = [await openWasm(), await openWasm({ panelBytes: 0 })];
    const expected = await thrice(without, shapes, compute);
    const got = await thrice(device, shapes, compute);
    for (const result of got.results) expect(sameBits(result, expected.results[0])).toBe(true);
    expect(got.bytes).toBe(bytes);
    expect(expected.bytes).toBe(0);
  });

  it("makes a copy at the second use, of one Program too", async () => {
    const device = await openWasm();
    const [x, y, w] = [filled(device, [20, 30], 1), filled(device, [24, 30], 2), filled(device, [30, 40], 3)];
    const single = await matmul(x, w).data();
    expect(panelBytes(device)).toBe(0);
    const other = filled(device, [30, 40], 3);
    const both = add(sum(matmul(y, other)), matmul(x, other));
    const difference = sum(matmul(y, w));
    await both.data();
    expect(panelBytes(device)).toBe(bytesOf(40, 30));
    expect(await matmul(x, other).data()).toEqual(single);
    await difference.data();
    expect(panelBytes(device)).toBe(2 * bytesOf(40, 30));
    // Collected before, they would have taken their copies along.
    for (const leaf of [w, other]) leaf.dispose();
    expect(panelBytes(device)).toBe(0);
  });

  /** A weight with a copy, and a product that is to be right. */
  async function withCopy(device: WasmDevice) {
    const [x, w] = [filled(device, [20, 30], 1), filled(device, [30, 40], 2)];
    for (let i = 0; i < 2; i++) await matmul(x, w).data();
    expect(panelBytes(device)).toBe(bytesOf(40, 30));
    return { x, w };
  }

  it("drops a copy when its leaf is written, wholly, in part, or by a Program", async () => {
    const device = await openWasm();
    const changes: ((w: Tensor) => unknown)[] = [
      (w) => device.write(w.storage!.buffer, numbers(1200, 7)),
      (w) => device.write(w.storage!.buffer, numbers(40, 8), { offset: 80 }),
      (w) => {
        assign(w, add(w, 1));
        commit(device);
      },
    ];
    for (const change of changes) {
      const { x, w } = await withCopy(device);
      await change(w);
      expect(panelBytes(device)).toBe(0);
      const fresh = await openWasm();
      const copy = tensor((await w.data()) as Float32Array, { shape: [30, 40], device: fresh });
      const expected = await matmul(filled(fresh, [20, 30], 1), copy).data();
      for (let i = 0; i < 3; i++) expect(await matmul(x, w).data()).toEqual(expected);
      w.dispose();
      expect(panelBytes(device)).toBe(0);
    }
  });

  it("drops copies after a run that failed", async () => {
    const device = await openWasm();
    const { x, w } = await withCopy(device);
    const index = tensor([99], { dtype: "int32", device });
    await expect(matmul(indexSelect(x, 0, index), w).data()).rejects.toThrow();
    expect(panelBytes(device)).toBe(0);
    expect(await matmul(x, w).data()).toHaveLength(800);
  });

  it("stays within its budget, and lets go of copies that are no longer used", async () => {
    const bytes = bytesOf(40, 30);
    const device = await openWasm({ panelBytes: bytes });
    const { x, w } = await withCopy(device);
    const other = filled(device, [30, 40], 5);
    const expected = await matmul(x, other).data();
    for (let i = 0; i < 5; i++) expect(await matmul(x, other).data()).toEqual(expected);
    expect(panelBytes(device)).toBe(bytes);
    w.dispose();
    expect(panelBytes(device)).toBe(0);
    for (let i = 0; i < 1100; i++) matmul(x, other).realize().dispose();
    expect(panelBytes(device)).toBe(bytes);
    expect(await matmul(x, other).data()).toEqual(expected);
    const third = filled(device, [30, 40], 6);
    for (let i = 0; i < 2100; i++) matmul(x, third).realize().dispose();
    expect(panelBytes(device)).toBe(bytes);
  });

  it("gives copies up before memory runs out", async () => {
    const device = await openWasm({ maximumBytes: 16 << 20, panelBytes: 8 << 20 });
    const weights = Array.from({ length: 4 }, (_, i) => filled(device, [512, 512], i));
    const x = filled(device, [32, 512], 9);
    const before = await matmul(x, weights[0]).data();
    for (let i = 0; i < 3; i++) for (const w of weights) matmul(x, w).realize().dispose();
    expect(panelBytes(device)).toBe(4 << 20);
    const large = device.allocate("float32", 2 << 20);
    expect(panelBytes(device)).toBe(0);
    expect(await matmul(x, weights[0]).data()).toEqual(before);
    device.free(large);
  });

  it("makes none while training changes the weights", async () => {
    const device = await openWasm();
    const model = new Sequential(new Linear(30, 40, { device }), new ReLU(), new Linear(40, 10, { device }));
    const optimizer = new AdamW(model.parameters(), { lr: 1e-3 });
    const y = tensor(new Int32Array(32), { shape: [32], device });
    for (let step = 0; step < 4; step++) {
      using x = filled(device, [32, 30], step);
      crossEntropy(model.forward(x), y).backward();
      optimizer.step();
      expect(panelBytes(device)).toBe(0);
    }
  });

  it("gives a row the same bits with 1 to 16 rows", async () => {
    const device = await openWasm();
    for (const [k, n] of [
      [5, 3],
      [70, 41],
      [67, 1030],
    ]) {
      for (const isTransposed of [false, true]) {
        const [x, w] = [numbers(16 * k, 1), filled(device, isTransposed ? [n, k] : [k, n], 2)];
        const rows = async (m: number) => {
          const a = tensor(x.slice(0, m * k), { shape: [m, k], device });
          return matmul(a, isTransposed ? w.transpose(0, 1) : w).data();
        };
        const all = await rows(16);
        for (let m = 1; m < 16; m++) expect(await rows(m)).toEqual(all.slice(0, m * n));
      }
    }
  });
});
