/** Programs that were once wrong, found by the random ones of this folder, and what they should do. */
import { describe, expect, it } from "vitest";
import { readExact } from "../../src/compiler/realize.js";
import * as ops from "../../src/ops/index.js";
import { devices } from "../devices.js";

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
  });
}
