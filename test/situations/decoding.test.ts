/** Decoding with a cache. */
import { describe, expect, it } from "vitest";
import { openWasm } from "../../src/device/wasm/wasm.js";
import { devices } from "../devices.js";
import { decodePrograms, longLoop } from "./decode_programs.js";

for (const { label, device } of devices) {
  describe(`decoding on ${label}`, () => {
    for (const [name, program] of Object.entries(decodePrograms)) {
      it(name, async () => {
        expect(await program(device)).toEqual([]);
      });
    }
  });
}

it("1,000 tokens of a 12-layer GPT hold what two of them do", async () => {
  expect(await longLoop(await openWasm())).toHaveLength(1);
});
