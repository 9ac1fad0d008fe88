/** Decoding with a cache. */
import { describe, expect, it } from "vitest";
import { devices } from "../devices.js";
import { decodePrograms } from "./decode_programs.js";

for (const { label, device } of devices) {
  describe(`decoding on ${label}`, () => {
    for (const [name, program] of Object.entries(decodePrograms)) {
      it(name, async () => {
        expect(await program(device)).toEqual([]);
      });
    }
  });
}
