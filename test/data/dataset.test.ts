import { expect, test } from "vitest";
import { ArgumentError, ShapeError } from "../../src/core/errors.js";
import { subset, TensorDataset } from "../../src/data/dataset.js";
import { TextDataset } from "../../src/data/text.js";

const x = { dtype: "float32", shape: [3, 2], data: Float32Array.of(0, 1, 10, 11, 20, 21) } as const;
const y = { dtype: "int32", shape: [3], data: Int32Array.of(5, 6, 7) } as const;

test("a TensorDataset gathers rows of every tensor", () => {
  const dataset = new TensorDataset(x, y);
  expect(dataset.length).toBe(3);
  expect(dataset.batch(Int32Array.of(2, 0, 2))).toEqual([
    { dtype: "float32", shape: [3, 2], data: Float32Array.of(20, 21, 0, 1, 20, 21) },
    { dtype: "int32", shape: [3], data: Int32Array.of(7, 5, 7) },
  ]);
  expect(dataset.batch(new Int32Array(0))[0].shape).toEqual([0, 2]);
});

test("tensors that do not belong together and samples that do not exist are errors", () => {
  const scalar = { dtype: "int32", shape: [], data: Int32Array.of(1) } as const;
  expect(() => new TensorDataset()).toThrow(ArgumentError);
  expect(() => new TensorDataset(x, { ...y, shape: [2] })).toThrow(/\[3, 2\], \[2\]/);
  expect(() => new TensorDataset(scalar)).toThrow(ShapeError);
  expect(() => new TensorDataset({ ...y, data: new Int32Array(4) })).toThrow(ShapeError);
  for (const index of [-1, 3]) {
    expect(() => new TensorDataset(x).batch(Int32Array.of(index))).toThrow(ArgumentError);
  }
});

test("a subset shifts indices and guards its own ends", () => {
  const part = subset(new TensorDataset(y), 1, 3);
  expect(part.length).toBe(2);
  expect(part.batch(Int32Array.of(0, 1))[0].data).toEqual(Int32Array.of(6, 7));
  expect(() => part.batch(Int32Array.of(-1))).toThrow(ArgumentError);
  expect(() => part.batch(Int32Array.of(2))).toThrow(ArgumentError);
  for (const [start, stop] of [
    [-1, 2],
    [2, 1],
    [0, 4],
    [0.5, 1],
  ]) {
    expect(() => subset(new TensorDataset(y), start, stop)).toThrow(ArgumentError);
  }
});

test("a TextDataset pairs each block with the tokens that follow", () => {
  const tokens = Int32Array.of(0, 1, 2, 3, 4, 5, 6);
  const blocks = new TextDataset(tokens, 3);
  expect(blocks.length).toBe(2);
  expect(blocks.batch(Int32Array.of(0, 1))).toEqual([
    { dtype: "int32", shape: [2, 3], data: Int32Array.of(0, 1, 2, 3, 4, 5) },
    { dtype: "int32", shape: [2, 3], data: Int32Array.of(1, 2, 3, 4, 5, 6) },
  ]);
  const windows = new TextDataset(tokens, 3, { stride: 1 });
  expect(windows.length).toBe(4);
  expect(windows.batch(Int32Array.of(3))[1].data).toEqual(Int32Array.of(4, 5, 6));
  expect(new TextDataset(tokens.subarray(0, 4), 3).length).toBe(1);
  expect(() => new TextDataset(tokens.subarray(0, 3), 3)).toThrow(ArgumentError);
  expect(() => new TextDataset(tokens, 0)).toThrow(ArgumentError);
  expect(() => blocks.batch(Int32Array.of(2))).toThrow(ArgumentError);
});
