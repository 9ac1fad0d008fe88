import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ArgumentError, StaleTensorError } from "../../src/core/errors.js";
import { type Dataset, TensorDataset } from "../../src/data/dataset.js";
import { DataLoader, type DataLoaderOptions } from "../../src/data/loader.js";
import { permutation } from "../../src/data/permutation.js";
import type { Device } from "../../src/device/device.js";
import { openReference } from "../../src/device/reference/reference.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { memory } from "../../src/runtime/counters.js";
import { readTensor } from "../../src/runtime/host_data.js";

const numbers = (length: number): Dataset =>
  new TensorDataset({ dtype: "int32", shape: [length], data: Int32Array.from({ length }, (_, i) => i) });

let device: Device;
beforeEach(async () => {
  device = await openReference();
});
afterEach(() => device.close());

const make = (length: number, options: Omit<DataLoaderOptions, "device"> = {}) =>
  new DataLoader(numbers(length), { device, ...options });

async function epoch(loader: DataLoader, most = Number.POSITIVE_INFINITY): Promise<number[][]> {
  const batches: number[][] = [];
  if (most === 0) return batches;
  for await (const [x] of loader) {
    batches.push([...(await readTensor(x))]);
    if (batches.length === most) break;
  }
  return batches;
}

test("a permutation has every number once and depends on seed and epoch only", () => {
  fc.assert(
    fc.property(fc.nat({ max: 300 }), fc.maxSafeNat(), fc.nat(), (length, seed, number) => {
      const order = permutation(length, seed, number);
      expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length }, (_, i) => i));
      expect(permutation(length, seed, number)).toEqual(order);
    }),
  );
  const base = permutation(100, 1, 0);
  for (const other of [permutation(100, 2, 0), permutation(100, 1, 1), permutation(100, 1 + 2 ** 32, 0)]) {
    expect(other).not.toEqual(base);
  }
});

test("known permutations, computed by an independent program in Python", () => {
  expect([...permutation(10, 42, 0)]).toEqual([4, 2, 5, 1, 3, 0, 9, 7, 6, 8]);
  expect([...permutation(10, 42, 1)]).toEqual([7, 2, 3, 8, 5, 6, 4, 0, 9, 1]);
  expect([...permutation(10, 2 ** 40 + 7, 3)]).toEqual([6, 8, 5, 9, 0, 4, 3, 2, 7, 1]);
});

test("all orders of four samples are about equally likely", () => {
  const counts = new Map<string, number>();
  const draws = 24_000;
  for (let seed = 0; seed < draws; seed++) {
    const order = permutation(4, seed, 0).join();
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  expect(counts.size).toBe(24);
  // Six standard deviations of a binomial count around 1000.
  for (const count of counts.values()) expect(Math.abs(count - draws / 24)).toBeLessThan(6 * Math.sqrt(1000));
});

test("batches in order; the last may be smaller unless it is dropped", async () => {
  const loader = make(5, { batchSize: 2 });
  expect(loader.length).toBe(3);
  expect(await epoch(loader)).toEqual([[0, 1], [2, 3], [4]]);
  expect(await epoch(loader)).toEqual([[0, 1], [2, 3], [4]]);
  const dropping = make(5, { batchSize: 2, dropLast: true });
  expect(dropping.length).toBe(2);
  expect(await epoch(dropping)).toEqual([
    [0, 1],
    [2, 3],
  ]);
  expect(await epoch(make(0, { batchSize: 2 }))).toEqual([]);
});

test("shuffled epochs hold every sample once, differ from each other, and repeat with the seed", async () => {
  const loader = make(50, { batchSize: 8, shuffle: { seed: 3 } });
  const first = (await epoch(loader)).flat();
  const second = (await epoch(loader)).flat();
  expect(second).not.toEqual(first);
  for (const order of [first, second]) {
    expect(order.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => i));
  }
  const again = make(50, { batchSize: 5, shuffle: { seed: 3 } });
  expect((await epoch(again)).flat()).toEqual(first);
  expect((await epoch(make(50, { shuffle: { seed: 4 } }))).flat()).not.toEqual(first);
});

test("a loader set to a saved state goes on exactly, from any batch", async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat({ max: 3 }), fc.nat({ max: 4 }), fc.nat(), async (epochs, batches, seed) => {
      const options = { batchSize: 3, shuffle: { seed } };
      const whole = make(11, options);
      const stopped = make(11, options);
      for (let i = 0; i < epochs; i++) {
        await epoch(whole);
        await epoch(stopped);
      }
      const head = await epoch(stopped, batches);
      const saved = JSON.parse(JSON.stringify(stopped.state()));
      expect(saved).toEqual({ epoch: epochs, position: batches, seed });
      const resumed = make(11, { ...options, shuffle: { seed: 99 } });
      resumed.setState(saved);
      expect([...head, ...(await epoch(resumed))]).toEqual(await epoch(whole));
      expect(await epoch(resumed)).toEqual(await epoch(whole));
    }),
    { numRuns: 40 },
  );
});

test("a loop that was left is followed by a whole new epoch", async () => {
  const loader = make(6, { batchSize: 2, shuffle: true });
  await epoch(loader, 2);
  expect((await epoch(loader)).flat()).toHaveLength(6);
  expect(loader.state()).toEqual({ epoch: 2, position: 0, seed: 0 });
});

test("a batch lives until the next one, the last until the end, and none stays after break or throw", async () => {
  const loader = make(6, { batchSize: 2 });
  const live = () => memory(device).liveBuffers;
  const before = live();
  let previous: Tensor | undefined;
  for await (const [x] of loader) {
    expect(live()).toBe(before + 1);
    if (previous) await expect(readTensor(previous)).rejects.toThrow(StaleTensorError);
    previous = x;
  }
  expect(live()).toBe(before);
  for await (const _ of loader) break;
  expect(live()).toBe(before);
  await expect(
    (async () => {
      for await (const _ of loader) throw new Error("stop");
    })(),
  ).rejects.toThrow("stop");
  expect(live()).toBe(before);
});

test("options and states outside their domain are refused", () => {
  for (const batchSize of [0, -1, 1.5, Number.NaN]) {
    expect(() => make(4, { batchSize })).toThrow(ArgumentError);
  }
  for (const seed of [-1, 0.5, 2 ** 53]) expect(() => make(4, { shuffle: { seed } })).toThrow(ArgumentError);
  const loader = make(4);
  for (const state of [
    { epoch: -1, position: 0, seed: 0 },
    { epoch: 0, position: 5, seed: 0 },
    { epoch: 0, position: 0, seed: Number.NaN },
  ]) {
    expect(() => loader.setState(state)).toThrow(ArgumentError);
  }
});
