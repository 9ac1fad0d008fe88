/**
 * Deferred results: the pass that computes a call's output is deferred until the next call. If that is a map and the only consumer of the
 * output, the map's pass computes it, which saves a draw, a store and a load.
 */
import type { Operand, Program } from "../../../kernels/kernel.js";
import { operandsOf } from "../../../kernels/operands.js";
import { lanes } from "../gl/storage.js";
import type { Iteration, IterationNames } from "./iteration.js";
import type { Pass, TextureId } from "./pass.js";
import type { ShaderBuilder } from "./shader.js";
import { storeInside } from "./store.js";

/** GLSL names and layout of an emitted result. */
export interface Emitted {
  /** The four elements of texel `t`. */
  readonly value: string;
  readonly quad: Iteration["quad"];
  readonly inside: IterationNames["inside"];
}

export interface Result {
  /** For error messages and profiles. */
  readonly name: string;
  readonly output: Operand;
  /** Whether every texel of the output's slot is computed. */
  readonly whole: boolean;
  readonly flops: number;
  /** Adds the statements that compute texel `t`, whose first element is `e`; called after all earlier passes were added. */
  emit(shader: ShaderBuilder): Emitted;
}

/** The part of PassBuilder that a result needs. */
interface Slots {
  shader(): ShaderBuilder;
  /** Elements of a slot. */
  sizeOf(id: TextureId): number;
}

/** The separate pass of a result. */
export function passOf({ name, output, flops, emit }: Result, builder: Slots): Pass {
  const shader = builder.shader();
  const { value, quad, inside } = emit(shader);
  storeInside(shader, quad, inside, output, output.slot, value);
  return shader.build({ name, texels: Math.ceil(builder.sizeOf(output.slot) / lanes), flops });
}

/** Temporaries that one call writes and one other reads. */
export function singleConsumerSlots({ calls, slots, leafCount }: Program): ReadonlySet<TextureId> {
  const uses = slots.map(() => 0);
  for (const call of calls) {
    const { reads, writes } = operandsOf(call);
    for (const slot of new Set([...reads, ...writes].map(({ slot }) => slot))) uses[slot]++;
  }
  return new Set(uses.flatMap((count, slot) => (slot >= leafCount && count === 2 ? [slot] : [])));
}
