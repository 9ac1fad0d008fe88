/** The chain of passes: graph → simplify → fuse → schedule → lower → plan → Program. */
import type { DeviceInfo } from "../device/device.js";
import { costOf } from "../kernels/cost.js";
import type { Program } from "../kernels/kernel.js";
import { type FuseOptions, fuse } from "./fuse.js";
import type { Graph } from "./graph.js";
import { lower } from "./lower.js";
import { plan } from "./plan.js";
import { schedule } from "./schedule.js";
import { simplify } from "./simplify.js";

export function compile(graph: Graph, info: DeviceInfo, options?: FuseOptions): Program {
  const simple = simplify(graph);
  const fusion = fuse(simple, options);
  const { calls, slots, leafCount, alike, origins } = lower(simple, fusion, schedule(simple, fusion), info);
  const { offsets, arenaBytes } = plan(calls, slots, leafCount);
  return {
    calls,
    slots: slots.map(({ dtype, size }, i) => ({ dtype, size, offset: offsets[i] })),
    leafCount,
    inputCount: graph.leafCount,
    scalars: graph.scalars,
    arenaBytes,
    cost: costOf(calls, info, alike),
    alike,
    ...(origins && { origins }),
  };
}
