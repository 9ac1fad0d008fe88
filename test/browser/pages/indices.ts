/** In a page: programs with bad labels and indices on WebGL2. */
import { openWebgl, type WebglOptions } from "../../../src/device/webgl/webgl.js";
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
