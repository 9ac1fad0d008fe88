/** In a page: the results of a device for the probes of the sweep; the test in Node compares them. */
import type { DType } from "../../../src/core/dtype.js";
import { evaluate } from "../../evaluate.js";
import { sweep } from "../../sweep/index.js";
import { type DeviceLabel, open } from "./devices.js";

export interface Computed {
  readonly dtype: DType;
  /** The bytes of float64 in base64, as JSON has no NaN: the output, then the gradients. */
  readonly numbers: string;
}

/** The probes of a theme from number `from` on: as many as fit into `milliseconds`, at least one. */
export async function runSweep(
  label: DeviceLabel,
  theme: string,
  from: number,
  milliseconds: number,
): Promise<Computed[]> {
  const { device, failure } = await open(label);
  const end = performance.now() + milliseconds;
  const computed: Computed[] = [];
  for (const probe of sweep[theme].slice(from)) {
    const { dtype, output, gradients } = await evaluate(probe, device);
    const error = failure();
    if (error !== undefined) throw new Error(`${probe.name}: ${error}`);
    const numbers = [...output, ...gradients.flatMap((gradient) => [...(gradient?.values ?? [])])];
    const bytes = new Uint8Array(Float64Array.from(numbers).buffer);
    computed.push({ dtype, numbers: btoa(String.fromCharCode(...bytes)) });
    if (performance.now() >= end) break;
  }
  return computed;
}
