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
    producer[id] = steps.length;
    const { op, inputs, attributes } = nodes[id];
    if (op?.kind === "kernel" && op.checksIndex) {
      const { dim, ignored } = attributes as IndexAttributes;
      const pair = `${inputs[1]},${nodes[inputs[0]].shape[dim]},${ignored}`;
      if (!checks.has(pair)) checks.set(pair, steps.length);
    }
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
 * Kahn's algorithm, smallest original position first; updates that wait for each other in a circle are staged. undefined if a write
 * in place is in a circle, or behind one.
 */
function order(
  steps: readonly { step: Step; writes: readonly number[]; order: number }[],
  waiting: readonly (readonly number[])[],
): Step[] | undefined {
  const blocked = waiting.map((before) => before.length);
  const unlocks: number[][] = steps.map(() => []);
  waiting.forEach((before, s) => {
    for (const b of before) unlocks[b].push(s);
  });
  const result: Step[] = [];
  const done = new Array<boolean>(steps.length).fill(false);
  const ready = new Heap((s) => steps[s].order * (steps.length + 1) + s);
  for (let s = 0; s < steps.length; s++) if (blocked[s] === 0) ready.push(s);
  let finished = 0;
  while (finished < steps.length) {
    let s = ready.pop();
    let step: Step;
    if (s !== undefined) {
      step = steps[s].step;
    } else {
      if (steps.some(({ step, writes }, i) => !done[i] && step.kind === "node" && writes.length > 0))
        return undefined;
      s = steps.findIndex((candidate, i) => !done[i] && candidate.step.kind === "update");
      const update = steps[s].step as Extract<Step, { kind: "update" }>;
      step = { ...update, staged: true };
    }
    done[s] = true;
    finished++;
    result.push(step);
    for (const next of unlocks[s]) if (--blocked[next] === 0 && !done[next]) ready.push(next);
  }
  return result;
}

/** A binary heap of step numbers by priority. */
class Heap {
  readonly #items: number[] = [];
  readonly #priority: (item: number) => number;

  constructor(priority: (item: number) => number) {
    this.#priority = priority;
  }

  push(item: number): void {
    const items = this.#items;
    let i = items.push(item) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (this.#priority(items[parent]) <= this.#priority(items[i])) break;
      [items[parent], items[i]] = [items[i], items[parent]];
      i = parent;
    }
  }

  pop(): number | undefined {
    const items = this.#items;
    const top = items[0];
    const last = items.pop();
    if (top === undefined || last === undefined || items.length === 0) return top;
    items[0] = last;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && this.#priority(items[child + 1]) < this.#priority(items[child]))
        child++;
      if (this.#priority(items[i]) <= this.#priority(items[child])) break;
      [items[i], items[child]] = [items[child], items[i]];
      i = child;
    }
    return top;
  }
}
