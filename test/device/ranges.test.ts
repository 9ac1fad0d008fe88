/** Ranges of buffers on every device in Node; test/browser/ranges.test.ts is for WebGL. */
import { expect, it } from "vitest";
import { IndexError } from "../../src/core/errors.js";
import { openDry } from "../../src/device/dry/dry.js";
import { openMeta } from "../../src/device/meta.js";
import { openDevice } from "../../src/device/select.js";
import { embedding, realize, tensor } from "../../src/index.js";
import { devices } from "../devices.js";
import { headlessContext } from "./headless_context.js";
import { runRanges, runWrongRanges } from "./range_programs.js";

for (const { label, device } of devices) {
  it(`write and read take ranges: ${label}`, async () => {
    expect(await runRanges(device)).toEqual([]);
  });

  it(`a part does not make up for a failed run, all does: ${label}`, async () => {
    const table = tensor([[1], [2]], { device });
    const rows = embedding(table, tensor([0, 5, 1], { device, dtype: "int32" }));
    realize([rows]);
    const { buffer } = rows.storage!;
    device.write(buffer, Float32Array.of(8), { offset: 1 });
    await expect(device.read(buffer, { offset: 1, length: 1 })).rejects.toThrow(IndexError);
    device.write(buffer, Float32Array.of(7, 8, 9), { offset: 0 });
    expect([...(await device.read(buffer))]).toEqual([7, 8, 9]);
  });
}

it.each([openDry(), openMeta()])("ranges are checked where nothing is stored: $name", async (device) => {
  expect(await runWrongRanges(device)).toEqual([]);
});

it("zeros of the asked length are read from a dry device", async () => {
  const device = openDry();
  expect(await device.read(device.allocate("int8", 8), { offset: 2, length: 3 })).toEqual(new Int8Array(3));
});

const headless = await headlessContext();
it.skipIf(typeof headless === "string")("write and read take ranges: headless-gl", async () => {
  if (typeof headless === "string") return;
  const device = await openDevice("webgl", { webgl: { gl: headless.gl } });
  expect(await runRanges(device)).toEqual([]);
});
