/** Reading a tensor in pieces: the values at one moment, or an error. */
import { describe, expect, it } from "vitest";
import { JitError, StaleTensorError } from "../../src/core/errors.js";
import { arange, jit, tensor } from "../../src/index.js";
import "../../src/ops/methods.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { overwrite } from "../../src/runtime/host_data.js";
import { devices } from "../devices.js";

const size = 2 ** 20 + 5;
const ascending = Int32Array.from({ length: size }, (_, i) => i);

async function collected(x: Tensor): Promise<number[][]> {
  const pieces: number[][] = [];
  for await (const piece of x.pieces()) pieces.push([piece.length, piece[0], piece[piece.length - 1]]);
  return pieces;
}

describe.each(devices)("pieces of a tensor: $label", ({ device }) => {
  it("are its values in order, of a lazy one as well", async () => {
    expect(await collected(tensor(ascending, { device }))).toEqual([
      [2 ** 20, 0, 2 ** 20 - 1],
      [5, 2 ** 20, 2 ** 20 + 4],
    ]);
    expect(await collected(arange(6, { device }).mul(2))).toEqual([[6, 0, 10]]);
    expect(await collected(tensor([7], { device, shape: [] }))).toEqual([[1, 7, 7]]);
    expect(await collected(tensor([], { device, shape: [0, 2] }))).toEqual([]);
  });

  it("are arrays of the dtype", async () => {
    for await (const piece of tensor([0.1], { device }).pieces()) expect(piece).toEqual(Float32Array.of(0.1));
    for await (const piece of tensor([true], { device }).pieces()) expect(piece).toEqual(Uint8Array.of(1));
  });

  it("end with an error if the tensor changes in between, and only then", async () => {
    for (const change of [(x: Tensor) => overwrite(x, new Int32Array(size)), (x: Tensor) => x.dispose()]) {
      const x = tensor(ascending, { device });
      const pieces = x.pieces();
      await pieces.next();
      change(x);
      await expect(pieces.next()).rejects.toThrow(StaleTensorError);
    }
    const x = tensor(ascending, { device });
    const { value } = await x.pieces().next();
    expect(value?.length).toBe(2 ** 20);
  });

  it("cannot be read by a function that jit records", async () => {
    let reading: Promise<unknown> | undefined;
    const step = jit((x: Tensor) => {
      reading = x.pieces().next();
      reading.catch(() => {});
      return x.mul(2);
    });
    expect(step(tensor([1], { device })).size).toBe(1);
    await expect(reading).rejects.toThrow(JitError);
  });
});
