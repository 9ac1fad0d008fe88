/** Indices at both ends of an axis: the last valid one is used, the first invalid one accesses no memory. */
import { describe, expect, it } from "vitest";
import { IndexError } from "../../src/core/errors.js";
import { embedding, gather, scatterAdd, tensor } from "../../src/ops/index.js";
import { readExact } from "../../src/runtime/host_data.js";
import { devices } from "../devices.js";

const extent = 5;
const outside = [-1, extent, 2 ** 31 - 1, -(2 ** 31)];

for (const { label, device } of devices) {
  const source = () =>
    tensor(
      Float32Array.from({ length: extent * 3 }, (_, i) => i),
      { device, shape: [extent, 3] },
    );
  const indices = (list: number[], shape: number[]) => tensor(Int32Array.from(list), { device, shape });
  const ops = {
    "gather of single elements": (at: number) =>
      gather(source(), 0, indices([0, at, extent - 1, 1, 2, 3], [2, 3])),
    "gather of rows": (at: number) => embedding(source(), indices([extent - 1, at, 0], [3])),
    "scatterAdd of single elements": (at: number) =>
      scatterAdd(source(), 0, indices([0, at, extent - 1], [1, 3]), tensor([[1, 1, 1]], { device })),
  };

  describe(`index bounds on ${label}`, () => {
    for (const [name, run] of Object.entries(ops)) {
      it(`${name} takes the first and the last index`, async () => {
        await expect(readExact(run(0))).resolves.toBeDefined();
        await expect(readExact(run(extent - 1))).resolves.toBeDefined();
      });

      for (const at of outside) {
        it(`${name} refuses ${at}, and the device works on`, async () => {
          await expect(readExact(run(at))).rejects.toThrow(IndexError);
          await expect(readExact(run(extent - 1))).resolves.toBeDefined();
        });
      }
    }
  });
}
