/** Pooling and its gradients: random windows and layouts against the reference, ties and NaN among the values. */
import fc from "fast-check";
import { describe, it } from "vitest";
import type { KernelCall, PoolGeometry } from "../../src/kernels/kernel.js";
import { uniform } from "../cases/generate.js";
import { examples, propertyTimeout } from "../compiler/properties.js";
import { devices, reference } from "../devices.js";
import { expectSame, input, layouts, output, slotOf, sumTolerance } from "./layout.js";

const read = layouts({ reversible: true });
const written = layouts({ reversible: false });
const pair = (one: fc.Arbitrary<number>) => fc.tuple(one, one);

const pools = fc
  .record({
    batch: fc.integer({ min: 0, max: 3 }),
    channels: fc.integer({ min: 1, max: 13 }),
    kernel: pair(fc.integer({ min: 1, max: 5 })),
    stride: pair(fc.integer({ min: 1, max: 4 })),
    outputs: pair(fc.integer({ min: 1, max: 7 })),
    /** As a share of the kernel: PyTorch allows up to half of it. */
    padding: pair(fc.constantFrom(0, 0.25, 0.5)),
    /** Rows and columns that no window reaches. */
    rest: pair(fc.nat(3)),
    countIncludePad: fc.boolean(),
    withNaN: fc.boolean(),
    layouts: fc.tuple(read, read, written),
  })
  .map(({ padding: share, rest, ...more }) => {
    const padding = share.map((part, d) => Math.floor(part * more.kernel[d])) as [number, number];
    const image = more.outputs.map(
      (extent, d) =>
        (extent - 1) * more.stride[d] + more.kernel[d] - 2 * padding[d] + (rest[d] % more.stride[d]),
    );
    return { ...more, padding, image };
  })
  .filter(({ image }) => image.every((extent) => extent > 0));

/** Few whole numbers, so that windows hold ties; now and then NaN and -Infinity. */
const ties = (withNaN: boolean) => (i: number) => {
  const drawn = Math.floor(uniform(5, i) * 40);
  if (withNaN && drawn < 4) return drawn < 2 ? Number.NaN : Number.NEGATIVE_INFINITY;
  return (drawn % 4) - 2;
};
const fractions = (i: number) => Math.fround(2 * uniform(6, i) - 1);

for (const { label, device } of devices) {
  if (device === reference) continue;
  describe(`pooling on ${label}`, () => {
    for (const op of ["max", "average", "argmax"] as const) {
      it(
        `pools ${op} in any windows and layouts`,
        async () => {
          const property = fc.asyncProperty(pools, async (chosen) => {
            const { batch, channels, image, outputs, kernel, layouts: chosenLayouts } = chosen;
            const geometry: PoolGeometry = chosen;
            const leaves = [
              input(
                slotOf(0),
                [batch, channels, ...image],
                chosenLayouts[0],
                op === "average" ? fractions : ties(chosen.withNaN),
              ),
              output(
                slotOf(1),
                [batch, channels, ...outputs],
                chosenLayouts[2],
                op === "argmax" ? "int32" : "float32",
              ),
            ];
            const call: KernelCall = {
              kernel: "pool",
              op,
              input: leaves[0].operand,
              output: leaves[1].operand,
              geometry,
            };
            await expectSame(
              device,
              call,
              leaves,
              op === "average" ? sumTolerance(kernel[0] * kernel[1]) : 0,
            );
          });
          await fc.assert(property, examples(150));
        },
        propertyTimeout,
      );
    }

    for (const op of ["max", "average"] as const) {
      it(
        `gives the gradient of ${op} in any windows and layouts`,
        async () => {
          const property = fc.asyncProperty(pools, async (chosen) => {
            const { batch, channels, image, outputs, kernel, layouts: chosenLayouts } = chosen;
            const leaves = [
              input(slotOf(0), [batch, channels, ...outputs], chosenLayouts[0], fractions),
              output(slotOf(1), [batch, channels, ...image], chosenLayouts[2]),
            ];
            if (op === "max") {
              const seen = [batch, channels, ...image];
              leaves.push(input(slotOf(2), seen, chosenLayouts[1], ties(chosen.withNaN)));
            }
            const call: KernelCall = {
              kernel: "poolGrad",
              op,
              input: op === "max" ? leaves[2].operand : undefined,
              gradOutput: leaves[0].operand,
              gradInput: leaves[1].operand,
              geometry: chosen,
            };
            await expectSame(device, call, leaves, sumTolerance(kernel[0] * kernel[1]));
          });
          await fc.assert(property, examples(150));
        },
        propertyTimeout,
      );
    }
  });
}
