/**
 * Pass 3, schedule: the order of the kernels. Inputs come before their consumers, and an in-place update comes
 * after every other kernel that reads the old value, and after every check of indices: a Program that fails updates
 * nothing. A write in place comes before the kernels that read the new value.
 */

import type { IndexAttributes } from "../graph/op.js";
import { type Fusion, isDirect } from "./fuse.js";
import type { Graph } from "./graph.js";

/** One unit of work: a materialized node, an update of leaves in place, or a copy into a result. */
export type Step =
  | { readonly kind: "node"; readonly node: number }
  | {
      readonly kind: "update";
      readonly assignments: readonly number[];
      /** Values go to temporaries first because another update still needs this leaf's old value. */
      readonly staged: boolean;
    }
  | { readonly kind: "store"; readonly output: number };

/** What a kernel reads: materialized nodes and leaves, found through inline nodes and views; some of them twice. */
interface Reads {
  readonly nodes: readonly number[];
  readonly leaves: readonly number[];
  /** Leaves read through a view, not element by element at the same position. */
  readonly viewed: readonly number[];
}

/** @returns undefined if a write in place would have to wait for a kernel that waits for it. */
export function schedule(graph: Graph, fusion: Fusion): Step[] | undefined {
  const { nodes } = graph;
  const steps: { step: Step; reads: Reads; writes: readonly number[]; order: number }[] = [];
  /** The step of each materialized node. */
  const producer = new Int32Array(nodes.length);
  // The step that last visited each node, as it is and through a view.
  const visited = new Int32Array(nodes.length).fill(-1);
  const visitedViewed = new Int32Array(nodes.length).fill(-1);
  let visits = 0;
  /** The first kernel that checks an index against an axis of some size; later ones cannot fail. */
  const checks = new Map<string, number>();

  for (let id = 0; id < nodes.length; id++) {
    if (!fusion.materialized[id]) continue;
    const leaf = fusion.inPlace.get(id);
    const writes = leaf === undefined ? [] : [leaf];
    steps.push({ step: { kind: "node", node: id }, reads: readsOf(nodes[id].inputs), writes, order: id });
  }
  for (const { assignments } of fusion.updates) {
    const values = assignments.map((i) => graph.assignments[i].value);
    const writes = assignments.map((i) => graph.assignments[i].leaf);
    const reads = readsOf(values);
    const staged = writes.some((leaf) => reads.viewed.includes(leaf));
    steps.push({ step: { kind: "update", assignments, staged }, reads, writes, order: Math.max(...values) });
  }
  // A node that is one output only, and is computed by a kernel of its own, is written to the result directly.
  const direct = new Set<number>();
  graph.outputs.forEach((id, output) => {
    if (isDirect(id, fusion) && !direct.has(id)) direct.add(id);
    else
      steps.push({ step: { kind: "store", output }, reads: readsOf([id]), writes: [], order: nodes.length });
  });

  steps.sort((a, b) => a.order - b.order);
  steps.forEach(({ step }, s) => {
    if (step.kind !== "node") return;
    producer[step.node] = s;
    const { op, inputs, attributes } = nodes[step.node];
    if (op?.kind === "kernel" && op.checksIndex) {
      const { dim, ignored } = attributes as IndexAttributes;
      const pair = `${inputs[1]},${nodes[inputs[0]].shape[dim]},${ignored}`;
      if (!checks.has(pair)) checks.set(pair, s);
    }
  });

  const readers: number[][] = Array.from({ length: graph.leafCount }, () => []);
  steps.forEach(({ reads }, s) => {
    for (const leaf of reads.leaves) readers[leaf].push(s);
  });
  /** Of each value that a write in place replaces, the steps that read it. */
  const readersOfWritten = new Map([...fusion.inPlace.keys()].map((id) => [id, [] as number[]]));
  steps.forEach(({ reads }, s) => {
    for (const id of reads.nodes) readersOfWritten.get(id)?.push(s);
  });
  /** For a write in place that follows another one. */
  const readersOfOld = (step: Step) =>
    step.kind === "node" ? readersOfWritten.get(nodes[step.node].inputs[0]) : undefined;
  const waitsFor = new Int32Array(steps.length).fill(-1);
  const waiting = steps.map(({ step, reads, writes }, s) => {
    const before: number[] = [];
    const wait = (other: number) => {
      if (other === s || waitsFor[other] === s) return;
      waitsFor[other] = s;
      before.push(other);
    };
    for (const id of reads.nodes) wait(producer[id]);
    if (writes.length > 0) for (const check of checks.values()) wait(check);
    for (const leaf of writes) for (const reader of readersOfOld(step) ?? readers[leaf]) wait(reader);
    return before;
  });
  return order(steps, waiting);

  function readsOf(roots: readonly number[]): Reads {
    const reads = { nodes: [] as number[], leaves: [] as number[], viewed: [] as number[] };
    const visit = visits++;
    const follow = (id: number, viewed: boolean): void => {
      const stamps = viewed ? visitedViewed : visited;
      if (stamps[id] === visit) return;
      stamps[id] = visit;
      const { op, leaf, inputs } = nodes[id];
      if (leaf >= 0) {
        reads.leaves.push(leaf);
        if (viewed) reads.viewed.push(leaf);
      } else if (fusion.materialized[id]) {
        reads.nodes.push(id);
      } else {
        for (const input of inputs) follow(input, viewed || op?.kind === "view");
      }
    };
    for (const id of roots) follow(id, false);
    return reads;
  }
}

/**
 * Kahn's algorithm, the first that is ready; updates that wait for each other in a circle are staged. undefined if a write
 * in place is in a circle, or behind one.
 */
function order(
  steps: readonly { step: Step; writes: readonly number[] }[],
  waiting: readonly (readonly number[])[],
): Step[] | undefined {
  const blocked = waiting.map((before) => before.length);
  const unlocks: number[][] = steps.map(() => []);
  waiting.forEach((before, s) => {
    for (const b of before) unlocks[b].push(s);
  });
  const result: Step[] = [];
  const done = new Uint8Array(steps.length);
  // No step before it is ready.
  let next = 0;
  while (result.length < steps.length) {
    while (next < steps.length && (done[next] || blocked[next] > 0)) next++;
    let s = next;
    let step = steps[s]?.step;
    if (step === undefined) {
      if (steps.some(({ step, writes }, i) => !done[i] && step.kind === "node" && writes.length > 0))
        return undefined;
      s = steps.findIndex((candidate, i) => !done[i] && candidate.step.kind === "update");
      const update = steps[s].step as Extract<Step, { kind: "update" }>;
      step = { ...update, staged: true };
    }
    done[s] = 1;
    result.push(step);
    for (const later of unlocks[s]) if (--blocked[later] === 0 && later < next) next = later;
  }
  return result;
}
