/** Every kernel with each of its extents zero in turn: the results of the reference device, and no trap. */
import { describe, expect, it } from "vitest";
import { emptyCalls, runEmptyCall } from "../cases/empty_calls.js";
import { devices, reference } from "../devices.js";

for (const { label, device } of devices) {
  describe(label, () => {
    for (const call of emptyCalls) {
      it(call.name, async () => {
        const want = await runEmptyCall(call, reference);
        expect(want).not.toContain("NaN");
        expect(await runEmptyCall(call, device)).toBe(want);
      });
    }
  });
}
