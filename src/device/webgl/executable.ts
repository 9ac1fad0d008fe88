/** A Program as a list of draws, with the lifetimes of temporary textures. */

import { propagateFailures } from "../../kernels/failure.js";
import type { KernelCall } from "../../kernels/kernel.js";
import { operandsOf } from "../../kernels/operands.js";
import type { Executable, Program } from "../device.js";
import type { RunFlag } from "./gl/flag.js";
import type { ProgramCache, Program as ShaderProgram } from "./gl/programs.js";
import { type Extent, type Format, lanes, type RenderTargetLayout } from "./gl/storage.js";
import type { Texture } from "./gl/texture_pool.js";
import type { PassBuilder, Step } from "./shader/builder.js";
import type { TextureId } from "./shader/pass.js";

export interface PlannedStep {
  readonly step: Step;
  /** Temporaries whose last use this step is. */
  readonly dies: readonly TextureId[];
}

/** Estimated memory of a compiled shader. */
const bytesPerShader = 32 * 1024;

/** The leaves that a failure affects: results that depend on it, and inputs that are not updated. */
export interface Affected {
  readonly results: readonly number[];
  readonly missed: readonly number[];
}

export class WebglExecutable implements Executable {
  released = false;
  readonly bytes: number;
  readonly steps: readonly PlannedStep[];
  readonly leafCount: number;
  /** Texture of each temporary during a run; without leaves. */
  readonly temporaries: (Texture | undefined)[];
  readonly formats: readonly Format[];
  readonly texels: readonly number[];
  readonly targetLayouts: readonly (Extent | RenderTargetLayout | undefined)[];
  /** Leaves that are read, and leaves that are written. */
  readonly readLeaves: readonly number[];
  readonly writtenLeaves: readonly number[];
  /** Leaves of float32 that must not be rounded to halves. */
  readonly float32Leaves: readonly number[];
  /** The leaves affected by each texel of the run's flag. */
  readonly checks: readonly Affected[];
  /** The flag of runs that failed without a result that reports it; undefined once reported. */
  missed: RunFlag | undefined;
  private readonly affectedByLeaves = new Map<number, Affected>();
  private shaders: readonly (ShaderProgram | undefined)[] = [];
  private cache: ProgramCache | undefined;

  constructor(
    readonly program: Program,
    builder: PassBuilder,
  ) {
    this.leafCount = program.leafCount;
    const slots = [...program.slots, ...builder.scratches];
    this.formats = slots.map((_, id) => builder.formatOf(id));
    this.texels = slots.map(({ size }) => Math.ceil(size / lanes));
    this.targetLayouts = [
      ...program.slots.map(() => undefined),
      ...builder.scratches.map(({ targetLayout }) => targetLayout),
    ];
    this.float32Leaves = [...builder.float32Slots].filter((id) => id < program.leafCount);
    this.temporaries = new Array(slots.length).fill(undefined);
    this.steps = planned(builder.steps, program.leafCount);
    const texts = new Set<string>();
    let bytes = 0;
    for (const { step } of this.steps) {
      if (step.kind !== "pass") continue;
      texts.add(step.pass.fragment);
      bytes += step.pass.fragment.length;
    }
    this.bytes = bytes + texts.size * bytesPerShader;
    const [read, written] = [new Set<number>(), new Set<number>()];
    for (const call of program.calls) {
      const { reads, writes } = operandsOf(call);
      for (const { slot } of reads) if (!written.has(slot)) read.add(slot);
      for (const { slot } of writes) written.add(slot);
    }
    this.readLeaves = [...read].filter((id) => id < this.leafCount);
    this.writtenLeaves = [...written].filter((id) => id < this.leafCount);
    this.checks = builder.checks.map((calls) =>
      this.affectedBy(new Map(calls.map((call) => [call, true])), -1),
    );
  }

  /** The leaves affected if leaf `leaf`, whose run may have failed, is invalid. */
  affectedByLeaf(leaf: number): Affected {
    let affected = this.affectedByLeaves.get(leaf);
    if (affected === undefined) {
      affected = this.affectedBy(new Map(), leaf);
      this.affectedByLeaves.set(leaf, affected);
    }
    return affected;
  }

  private affectedBy(failed: ReadonlyMap<KernelCall, true>, leaf: number): Affected {
    const { errors, missed } = propagateFailures(this.program, failed, (slot) => slot === leaf || undefined);
    return {
      results: [...errors.keys()].filter((slot) => slot < this.leafCount),
      missed: [...missed.keys()],
    };
  }

  /** The shader of each step, held until `release`; those of a lost context are replaced. */
  shadersIn(cache: ProgramCache): readonly (ShaderProgram | undefined)[] {
    if (this.cache !== cache) {
      this.shaders = this.steps.map(({ step }) =>
        step.kind === "pass" ? cache.acquire(step.pass.vertex, step.pass.fragment) : undefined,
      );
      this.cache = cache;
    }
    return this.shaders;
  }

  /** @param cache the device's current cache; an older one was lost with its context. */
  release(cache: ProgramCache): void {
    this.released = true;
    this.missed?.release();
    if (this.cache === cache) for (const shader of this.shaders) if (shader) cache.release(shader);
    this.shaders = [];
    this.cache = undefined;
  }
}

function planned(steps: readonly Step[], leafCount: number): PlannedStep[] {
  const seen = new Set<TextureId>();
  const result: PlannedStep[] = [];
  for (let i = steps.length - 1; i >= 0; i--) {
    const step = steps[i];
    const used = step.kind === "pass" ? [...step.pass.textures, ...step.pass.outputs] : [step.slot, step.by];
    const dies = [...new Set(used)].filter((id) => id >= leafCount && !seen.has(id));
    for (const id of used) seen.add(id);
    result.unshift({ step, dies });
  }
  return result;
}
