/** Partial in-place writes of tensors. */
import { describe, expect, it } from "vitest";
import { devices } from "../devices.js";
import { writePrograms } from "./write_programs.js";

for (const { label, device } of devices) {
  describe(`writes on ${label}`, () => {
    for (const [name, program] of Object.entries(writePrograms)) {
      it(name, async () => {
        expect(await program(device)).toEqual([]);
      });
    }
  });
}
