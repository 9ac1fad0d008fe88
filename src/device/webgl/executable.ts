/** A Program as a list of draws, with the last use of every temporary texture known. */
import type { Executable, Program } from "../device.js";
import type { PassBuilder, Step } from "./builder.js";
import type { TextureId } from "./pass.js";
import type { Program as ShaderProgram } from "./programs.js";
import { type FloatStorage, type Format, formatOf, lanes } from "./storage.js";
import type { Texture } from "./texture_pool.js";

export interface PlannedStep {
  readonly step: Step;
  /** Of a pass. */
  readonly shader: ShaderProgram | undefined;
  /** Temporaries that nothing uses afterwards. */
  readonly dies: readonly TextureId[];
}

export class WebglExecutable implements Executable {
  released = false;
  readonly steps: readonly PlannedStep[];
  readonly leafCount: number;
  /** Texture of each temporary while a run lasts; leaves are not in here. */
  readonly temporaries: (Texture | undefined)[];
  readonly formats: readonly Format[];
  readonly texels: readonly number[];
  /** Whether a pass may raise the error flag. */
  readonly mayFail: boolean;

  constructor(
    readonly program: Program,
    builder: PassBuilder,
    floats: FloatStorage,
    shaderOf: (step: Step) => ShaderProgram | undefined,
  ) {
    this.leafCount = program.leafCount;
    const slots = [...program.slots, ...builder.scratches];
    this.formats = slots.map(({ dtype }) => formatOf(dtype, floats));
    this.texels = slots.map(({ size }) => Math.ceil(size / lanes));
    this.temporaries = new Array(slots.length).fill(undefined);
    this.steps = planned(builder.steps, program.leafCount, shaderOf);
    this.mayFail = builder.steps.some((step) => step.kind === "pass" && step.pass.flag === true);
  }
}

function planned(
  steps: readonly Step[],
  leafCount: number,
  shaderOf: (step: Step) => ShaderProgram | undefined,
): PlannedStep[] {
  const seen = new Set<TextureId>();
  const result: PlannedStep[] = [];
  for (let i = steps.length - 1; i >= 0; i--) {
    const step = steps[i];
    const used = step.kind === "pass" ? [...step.pass.textures, ...step.pass.outputs] : [step.slot, step.by];
    const dies = [...new Set(used)].filter((id) => id >= leafCount && !seen.has(id));
    for (const id of used) seen.add(id);
    result.unshift({ step, shader: shaderOf(step), dies });
  }
  return result;
}
