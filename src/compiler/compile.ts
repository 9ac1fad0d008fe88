/** The chain of passes: graph → simplify → fuse → schedule → lower → plan → Program. */
import type { DeviceInfo } from "../device/device.js";
import type { Program } from "../kernels/kernel.js";
import { type FuseOptions, fuse } from "./fuse.js";
import type { Graph } from "./graph.js";
import { findInPlace, type InPlace, withoutInPlace } from "./in_place.js";
import { lower } from "./lower.js";
import { plan } from "./plan.js";
import type { ProvenanceOf } from "./provenance.js";
import { schedule } from "./schedule.js";
import { simplify } from "./simplify.js";

export interface CompileOptions extends FuseOptions {
  /** Gives each kernel call its provenance, for profiles and summaries. */
  readonly provenanceOf?: ProvenanceOf;
}

export function compile(graph: Graph, info: DeviceInfo, options?: CompileOptions): Program {
  const whole = simplify(graph);
  const { calls, slots, leafCount, alike, provenance } =
    lowered(whole, info, options, findInPlace(whole)) ?? lowered(whole, info, options, new Map())!;
  const { offsets, arenaBytes } = plan(calls, slots, leafCount);
  return {
    calls,
    slots: slots.map(({ dtype, size }, i) => ({ dtype, size, offset: offsets[i] })),
    leafCount,
    inputCount: graph.leafCount,
    scalars: graph.scalars,
    arenaBytes,
    alike,
    ...(provenance && { provenance }),
  };
}

/** undefined if a step needs both the old value of a leaf and the new one that is written in place. */
function lowered(whole: Graph, info: DeviceInfo, options: CompileOptions | undefined, inPlace: InPlace) {
  const graph = withoutInPlace(whole, inPlace);
  const fusion = fuse(graph, inPlace, options);
  const steps = schedule(graph, fusion);
  return steps && lower(graph, fusion, steps, info, options?.provenanceOf);
}
