/** Shifted images: the batches of a loader, epoch by epoch. */
import { expect, test } from "vitest";
import { ArgumentError, ShapeError } from "../../src/core/errors.js";
import { DataLoader, subset, TensorDataset } from "../../src/data/index.js";
import { openReference } from "../../src/device/reference/reference.js";
import { readTensor } from "../../src/runtime/host_data.js";
import { randomShift } from "../../src/train/index.js";

const side = 5;
const count = 40;

/** One bright pixel in the middle of each image. */
const dots = new TensorDataset(
  {
    dtype: "float32",
    shape: [count, 1, side, side],
    data: Float32Array.from({ length: count * side * side }, (_, i) => Number(i % 25 === 12)),
  },
  { dtype: "int32", shape: [count], data: Int32Array.from({ length: count }, (_, i) => i) },
);

function loaderOf(pixels: number) {
  const device = openReference();
  // Another data set around it hands the epoch on.
  return new DataLoader(subset(randomShift(dots, { pixels, seed: 3, fill: -1 }), 0), {
    device,
    batchSize: 8,
  });
}

/** Where each image's dot is. */
async function places(loader: DataLoader): Promise<number[]> {
  const found: number[] = [];
  for await (const [x] of loader) {
    const values = await readTensor(x);
    for (let i = 0; i < values.length; i += 25) found.push([...values.subarray(i, i + 25)].indexOf(1));
  }
  return found;
}

test("images move within the bounds, differently in each epoch, and the same after setState", async () => {
  const loader = loaderOf(1);
  const first = await places(loader);
  const second = await places(loader);
  const near = [6, 7, 8, 11, 12, 13, 16, 17, 18];
  for (const place of [...first, ...second]) expect(near).toContain(place);
  expect(new Set(first).size).toBeGreaterThan(4);
  expect(second).not.toEqual(first);

  const resumed = loaderOf(1);
  resumed.setState({ epoch: 1, position: 2, seed: 0 });
  expect(await places(resumed)).toEqual(second.slice(16));
});

test("the border gets the fill, and no pixels move nothing", async () => {
  const [still] = randomShift(dots, { pixels: 0, seed: 0 }).batch(Int32Array.of(0, 1), 4);
  expect([...still.data].filter((x) => x !== 0 && x !== 1)).toEqual([]);
  const [moved] = randomShift(dots, { pixels: 2, seed: 0, fill: -1 }).batch(
    Int32Array.from({ length: count }, (_, i) => i),
    1,
  );
  expect([...moved.data].filter((x) => x === 1)).toHaveLength(count);
  expect([...moved.data]).toContain(-1);
});

test("options and images that do not fit are typed errors", () => {
  expect(() => randomShift(dots, { pixels: -1, seed: 0 })).toThrow(ArgumentError);
  const flat = new TensorDataset({ dtype: "float32", shape: [2, 3], data: new Float32Array(6) });
  expect(() => randomShift(flat, { pixels: 1, seed: 0 }).batch(Int32Array.of(0))).toThrow(ShapeError);
});
