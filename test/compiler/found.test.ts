/** Regression tests: programs found by the random ones of this folder that once gave wrong results. */
import { describe, expect, it } from "vitest";
import * as ops from "../../src/ops/index.js";
import { readExact } from "../../src/runtime/host_data.js";
import "../../src/ops/methods.js";
import { clipGradNorm, SGD } from "../../src/optim/index.js";
import { devices } from "../devices.js";
import { checkPrograms } from "./program_check.js";

for (const { device } of devices) checkPrograms(device);

for (const { label, device } of devices) {
  describe(label, () => {
    it("random numbers are reduced over any axes", async () => {
      const draw = () => ops.rand([3, 4, 5], { device, generator: new ops.Generator(1) });
      const values = await readExact(draw());
      const at = (i: number, j: number, k: number) => values[(i * 4 + j) * 5 + k];

      const sums = await readExact(ops.sum(draw(), [0, 2]));
      const columns = await readExact(ops.argmax(draw(), 0));
      for (let j = 0; j < 4; j++) {
        let sum = 0;
        for (let i = 0; i < 3; i++) for (let k = 0; k < 5; k++) sum += at(i, j, k);
        expect(sums[j]).toBeCloseTo(sum, 5);
        for (let k = 0; k < 5; k++) {
          const column = [at(0, j, k), at(1, j, k), at(2, j, k)];
          expect(columns[j * 5 + k]).toBe(column.indexOf(Math.max(...column)));
        }
      }
    });

    it("updates of many parameters that share a factor do not outgrow a kernel", async () => {
      for (const shape of [[], [3]]) {
        const parameters = Array.from({ length: 40 }, (_, i) =>
          ops.tensor(new Float32Array(3 ** shape.length).fill(i), { device, shape, requiresGrad: true }),
        );
        const loss = parameters.map((p) => ops.sum(ops.square(p))).reduce((a, b) => ops.add(a, b));
        ops.backward(loss);
        const norm = clipGradNorm(parameters, 1);
        const before = await readExact(norm);
        new SGD(parameters, { lr: 1, momentum: 0.9 }).step();
        for (const [i, parameter] of parameters.entries()) {
          for (const value of await readExact(parameter)) {
            expect(value, `parameter ${i}`).toBeCloseTo(i - (2 * i) / (before[0] + 1e-6), 4);
          }
        }
      }
    });

    it("sums of more terms than a kernel reads", async () => {
      const terms = Array.from({ length: 70 }, (_, i) => ops.tensor([i, 1], { device }));
      const total = terms.reduce((a, b) => ops.add(a, b));
      const product = terms.map((term) => ops.add(term, 1)).reduce((a, b) => ops.maximum(ops.mul(a, 0.5), b));
      expect([...(await readExact(total))]).toEqual([2415, 70]);
      expect([...(await readExact(product))]).toEqual([70, 2]);
    });
  });
}
