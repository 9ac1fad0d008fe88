/** In a page, on WebGL2: programs with bad labels and indices, partial writes, caches, and kernels with empty extents. */
import { openReference } from "../../../src/device/reference/reference.js";
import { openWebgl, type WebglOptions } from "../../../src/device/webgl/webgl.js";
import { emptyCalls, runEmptyCall } from "../../cases/empty_calls.js";
import { decodePrograms } from "../../situations/decode_programs.js";
import { indexPrograms } from "../../situations/index_programs.js";
import { writePrograms } from "../../situations/write_programs.js";

const programs = { index: indexPrograms, write: writePrograms, decode: decodePrograms };

/** By program, what is not as it should be. */
export async function runIndexPrograms(
  theme: keyof typeof programs,
  options: WebglOptions,
): Promise<Record<string, readonly string[]>> {
  const device = await openWebgl(options);
  const found: Record<string, readonly string[]> = {};
  // Logits of halves, of which about 1 is the largest here.
  const tolerance = options.storage === "rgba16f" ? 0.03 : undefined;
  for (const [name, program] of Object.entries(programs[theme])) {
    found[name] = await program(device, tolerance).catch((error: unknown) => [String(error)]);
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
