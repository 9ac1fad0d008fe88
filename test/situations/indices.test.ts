/** Bad labels and indices: only the results that depend on them throw, and no parameter is updated. */
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
