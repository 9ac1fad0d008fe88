/** A wasm kernel that traps: a typed error for the results of its Program; everything else keeps working. */
import { expect, it } from "vitest";
import { loadKernels } from "../../src/device/wasm/binaries.js";
import { WasmDevice } from "../../src/device/wasm/wasm.js";
import * as ops from "../../src/ops/index.js";
import { realize } from "../../src/runtime/realize.js";
import "../../src/ops/methods.js";
import { DeviceError } from "../../src/core/errors.js";
import { SGD } from "../../src/optim/index.js";

/** A module that exports `t`: () → (), which is unreachable. */
const trapping = Uint8Array.from([
  0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 0x74, 0, 0, 10, 5, 1, 3, 0, 0,
  0x0b,
]);

async function openFragile() {
  const loaded = await loadKernels();
  const { instance } = await WebAssembly.instantiate(trapping);
  const trap = instance.exports.t as () => void;
  const state = { traps: false, full: false };
  const execute = (start: number): number => {
    if (state.traps) trap();
    if (state.full) return execute(start) + 1;
    return loaded.kernels.execute(start);
  };
  const device = new WasmDevice({ ...loaded, kernels: { ...loaded.kernels, execute } }, 2 ** 26);
  return { device, state };
}

it.each(["traps", "full"] as const)("a kernel that %s", async (kind) => {
  const { device, state } = await openFragile();
  const weight = ops.tensor([1, 2], { device, requiresGrad: true });
  const optimizer = new SGD([weight], { lr: 1 });
  const before = weight.mul(3);
  realize([before]);
  const loss = weight.mul(weight).sum();
  loss.backward();
  state[kind] = true;
  optimizer.step();
  state[kind] = false;
  for (let i = 0; i < 2; i++) {
    const error = await loss.item().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DeviceError);
    expect(String(error)).toMatch(
      /DeviceError: (map|reduce): the kernel stopped: (RuntimeError: unreachable|RangeError)/,
    );
    expect(error).toMatchObject({ device: "wasm" });
  }
  await expect(loss.add(1).item()).rejects.toThrow(DeviceError);
  expect(await weight.tolist()).toEqual([1, 2]);
  expect(await before.tolist()).toEqual([3, 6]);
  weight.mul(weight).sum().backward();
  optimizer.step();
  expect(await weight.tolist()).toEqual([-1, -2]);
  device.close();
});

it("bytes that are no module", async () => {
  await expect(loadKernels("simd", Uint8Array.of(0, 0x61, 0x73, 0x6d))).rejects.toThrow(DeviceError);
});

it("memory that cannot grow", async () => {
  const { device } = await openFragile();
  const small = ops.ones([4], { device });
  realize([small]);
  expect(() => ops.ones([2 ** 25], { device }).realize()).toThrow(/cannot allocate/);
  expect(await small.sum().item()).toBe(4);
  device.close();
});
