/**
 * The sweep on the devices in Node: results for edge cases equal PyTorch's, except the differences listed with reasons in
 * sweep/differences.ts. For devices in pages see browser/sweep.test.ts.
 */
import { writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { devices } from "./devices.js";
import { evaluate } from "./evaluate.js";
import { described, keyOf } from "./fixtures/describe.js";
import { sweep } from "./sweep/index.js";
import { Sweep } from "./sweep/report.js";

const probes = Object.values(sweep).flat();
const { EXPORT_SWEEP } = process.env;
if (EXPORT_SWEEP) {
  writeFileSync(
    EXPORT_SWEEP,
    JSON.stringify(probes.map((probe) => ({ ...described(probe, true), key: keyOf(probe, true) }))),
  );
}

const found = new Sweep();

describe("the sweep's fixtures", () => {
  it("were made from the probes as they are", () => {
    expect(new Set(probes.map(({ name }) => name)).size).toBe(probes.length);
    expect(found.keys.sort()).toEqual(probes.map((probe) => `${probe.name}: ${keyOf(probe, true)}`).sort());
  });
});

const kinds = { reference: "reference", "wasm-simd": "wasm", "wasm-relaxed": "wasm" } as const;

for (const { label, device } of devices) {
  describe(`${label} against PyTorch`, () => {
    for (const [theme, list] of Object.entries(sweep)) {
      it(theme, async () => {
        for (const probe of list) {
          const { dtype, output, gradients } = await evaluate(probe, device);
          const numbers = [...output, ...gradients.flatMap((gradient) => [...(gradient?.values ?? [])])];
          found.add(probe, label, kinds[label], { dtype, numbers });
        }
        expect(found.takeUnexplained()).toEqual([]);
      });
    }

    it("differs for the listed reasons only", () => {
      console.info(found.summary(label));
    });
  });
}

it("every difference that is listed for these devices occurs", () => {
  expect([...found.unused("reference"), ...found.unused("wasm")]).toEqual([]);
});
