/** The devices available in Node, on which the suites run. */
import type { Device } from "../src/device/device.js";
import { openReference } from "../src/device/reference/reference.js";
import { loadKernels } from "../src/device/wasm/binaries.js";
import { openWasm } from "../src/device/wasm/wasm.js";

export interface TestDevice {
  readonly label: "reference" | "wasm-simd" | "wasm-relaxed";
  readonly device: Device;
}

/** Computes in float64: what the others are compared with. */
export const reference: Device = openReference();

async function openAll(): Promise<TestDevice[]> {
  const devices: TestDevice[] = [
    { label: "reference", device: reference },
    { label: "wasm-simd", device: await openWasm({ binary: "simd" }) },
  ];
  // Relaxed SIMD is not in every engine, and its instructions may round differently: the loader probes both.
  const relaxed = await loadKernels("relaxed").then(
    () => true,
    () => false,
  );
  if (relaxed) devices.push({ label: "wasm-relaxed", device: await openWasm({ binary: "relaxed" }) });
  return devices;
}

export const devices: readonly TestDevice[] = await openAll();
