import { expect, test } from "vitest";
import { ArgumentError, ShapeError } from "../../src/core/errors.js";
import { ImageDataset, imageNetNormalization } from "../../src/data/images.js";

test("an ImageDataset normalises per channel when a batch is drawn", () => {
  const images = {
    dtype: "uint8",
    shape: [2, 2, 1, 2],
    data: Uint8Array.of(0, 255, 0, 255, 51, 102, 51, 102),
  } as const;
  const labels = { dtype: "int32", shape: [2], data: Int32Array.of(3, 4) } as const;
  const dataset = new ImageDataset(images, labels, { mean: [0, 0.5], std: [1, 0.25] });
  expect(dataset.length).toBe(2);
  const [x, y] = dataset.batch(Int32Array.of(1, 0));
  expect(x.shape).toEqual([2, 2, 1, 2]);
  expect([...x.data].map((value) => Math.round(value * 1e6) / 1e6)).toEqual([
    0.2, 0.4, -1.2, -0.4, 0, 1, -2, 2,
  ]);
  expect(y.data).toEqual(Int32Array.of(4, 3));
  expect(() => new ImageDataset(labels, labels)).toThrow(ShapeError);
  expect(() => new ImageDataset(images, { ...labels, shape: [1] })).toThrow(ShapeError);
  expect(() => new ImageDataset(images, labels, { std: 0 })).toThrow(ArgumentError);
  expect(() => new ImageDataset(images, labels, { mean: [0] })).toThrow(ArgumentError);
});

test("ImageNet's constants are those of red, green and blue", () => {
  const images = { dtype: "uint8", shape: [1, 3, 1, 1], data: Uint8Array.of(0, 128, 255) } as const;
  const labels = { dtype: "int32", shape: [1], data: Int32Array.of(0) } as const;
  const [x] = new ImageDataset(images, labels, imageNetNormalization).batch(Int32Array.of(0));
  // torchvision 0.29: Normalize(mean, std) of a pixel (0, 128, 255)/255.
  const expected = [-2.117904, 0.205182, 2.64];
  for (const [i, value] of expected.entries()) expect(x.data[i]).toBeCloseTo(value, 5);
});
