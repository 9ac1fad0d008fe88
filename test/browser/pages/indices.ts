/** In a page: programs with bad labels and indices, and kernels over nothing, on WebGL2. */
import { openReference } from "../../../src/device/reference/reference.js";
import { openWebgl, type WebglOptions } from "../../../src/device/webgl/webgl.js";
import { emptyCalls, runEmptyCall } from "../../cases/empty_calls.js";
import { indexPrograms } from "../../situations/index_programs.js";

/** By program, what is not as it should be. */
export async function runIndexPrograms(options: WebglOptions): Promise<Record<string, readonly string[]>> {
  const device = await openWebgl(options);
  const found: Record<string, readonly string[]> = {};
  for (const [name, program] of Object.entries(indexPrograms)) {
    found[name] = await program(device).catch((error: unknown) => [String(error)]);
  }
  device.close();
  return found;
}

/** Kernels with an extent of zero that give something else than on the reference device; and how many there are. */
export async function runEmptyCalls(): Promise<{ count: number; wrong: string[] }> {
  const [device, reference] = [await openWebgl(), openReference()];
  const calls = emptyCalls.filter(({ name }) => !name.includes("nothing"));
  const wrong: string[] = [];
  for (const call of calls) {
    const [got, want] = [await runEmptyCall(call, device), await runEmptyCall(call, reference)];
    if (got !== want) wrong.push(`${call.name}: ${got.slice(0, 200)}, expected ${want.slice(0, 200)}`);
  }
  device.close();
  return { count: calls.length, wrong };
}
