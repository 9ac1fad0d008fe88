/** Profile of wattgrad's draws: each pass of a run timed separately, waiting for the GPU after it. */
import { Runner } from "../../src/device/webgl/runner.js";
import { median } from "./measure.mjs";
import { waitForFramebuffer } from "./webgl_contenders.mjs";

/**
 * Runs `run` `rounds` times with every pass timed.
 * @param device wattgrad's WebglDevice; the class of its runner draws one pass at a time, and this stands around that.
 * @returns { idleMs, passes }: what waiting costs by itself (taken off each time), and per pass of a run, in order,
 *   { name, texels, mflop, inputs, outputs, ms, bestMs }.
 */
export async function profilePasses(device, run, rounds) {
  const { gl } = device;
  const { draw } = Runner.prototype;
  const idle = [];
  const runs = [];
  let passes;
  Runner.prototype.draw = function (pass, ...rest) {
    const start = performance.now();
    draw.call(this, pass, ...rest);
    waitForFramebuffer(gl);
    const end = performance.now();
    waitForFramebuffer(gl);
    idle.push(performance.now() - end);
    const { name, texels, flops, textures, outputs, points } = pass;
    passes.push({
      name,
      texels: points ?? texels,
      mflop: flops / 1e6,
      inputs: textures.length,
      outputs: outputs.length,
      ms: end - start,
    });
  };
  try {
    for (let round = 0; round <= rounds; round++) {
      passes = [];
      await run();
      // The first one compiles.
      if (round > 0 && passes.length > 0) runs.push(passes);
    }
  } finally {
    Runner.prototype.draw = draw;
  }
  const idleMs = median(idle);
  const [first] = runs;
  if (first === undefined) return { idleMs: 0, passes: [] };
  if (runs.some(({ length }) => length !== first.length)) throw new Error("the runs have different passes");
  return {
    idleMs,
    passes: first.map((pass, i) => {
      const times = runs.map((passes) => Math.max(0, passes[i].ms - idleMs));
      return { ...pass, ms: median(times), bestMs: Math.min(...times) };
    }),
  };
}
