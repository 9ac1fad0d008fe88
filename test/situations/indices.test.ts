/** Bad labels and indices: told by what was computed from them and by nothing else, and no step happens. */
import { describe, expect, it } from "vitest";
import { devices } from "../devices.js";
import { indexPrograms } from "./index_programs.js";

for (const { label, device } of devices) {
  describe(label, () => {
    for (const [name, program] of Object.entries(indexPrograms)) {
      it(name, async () => {
        expect(await program(device)).toEqual([]);
      });
    }
  });
}
