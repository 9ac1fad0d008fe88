/**
 * Half floats as storage of float32: which tensors stay float32 nevertheless, and the rounding to the nearest half, which drivers do not
 * guarantee. Shaders compute in float32; a value is rounded when a kernel stores it.
 */
import half from "../../../../glsl/half.glsl";
import type { Program } from "../../../kernels/kernel.js";
import { operandsOf } from "../../../kernels/operands.js";

/** GLSL for roundToHalf(vec4), beside select.glsl. */
export function halfChunk(infinity: number): string {
  return `#define HALF_INFINITY ${infinity}u\n${half}`;
}

/**
 * Slots with float32 storage: outputs of `scatterAdd`; leaves that are updated from their own old value (parameters, moments of an
 * optimizer, running statistics), because small changes would be rounded away; and temporaries with results of reductions or values
 * computed only from these, because sums of squares, means and variances overflow halves even if the elements do not.
 */
export function float32Slots({ calls, leafCount, slots }: Program): ReadonlySet<number> {
  const result = new Set<number>();
  const reduced = new Set<number>();
  const [read, written] = [new Set<number>(), new Set<number>()];
  for (const call of calls) {
    const { reads, writes } = operandsOf(call);
    // A partial write changes nothing else in the leaf, so the leaf is not updated from its old value.
    if (call.kernel === "write") continue;
    for (const { slot } of reads) if (!written.has(slot)) read.add(slot);
    const floats = reads.filter(({ dtype }) => dtype === "float32");
    const size = Math.max(0, ...floats.map(({ slot }) => slots[slot].size));
    const isOfReduced = call.kernel === "map" && size > 0 && floats.every(({ slot }) => reduced.has(slot));
    for (const { slot } of writes) {
      const isReduced = call.kernel === "reduce" || (isOfReduced && slots[slot].size <= size);
      if (isReduced && slot >= leafCount) reduced.add(slot);
      if (call.kernel === "scatterAdd" || (slot < leafCount && read.has(slot))) result.add(slot);
      written.add(slot);
    }
  }
  for (const slot of reduced) result.add(slot);
  return result;
}
