/**
 * Pass 3, schedule: orders the kernels. Inputs precede their consumers. In-place updates run after all other kernels that read the old
 * value and after all index checks, so that a failed Program updates nothing. In-place writes run before the kernels that read the new
 * value.
 */

import type { IndexAttributes } from "../graph/op.js";
import { type Fusion, isDirect } from "./fuse.js";
import type { Graph } from "./graph.js";
import { Lists } from "./lists.js";

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

/** The nodes and leaves that a kernel reads, through inline nodes and views: a range of each of the two lists; may have duplicates. */
interface Reads {
  readonly nodes: number;
  readonly nodesEnd: number;
  readonly leaves: number;
  readonly leavesEnd: number;
}

/** @returns undefined if in-place writes make the dependencies cyclic. */
export function schedule(graph: Graph, fusion: Fusion): Step[] | undefined {
  const { nodes } = graph;
  const steps: { step: Step; reads: Reads; writes: readonly number[]; order: number }[] = [];
  /** The step of each materialized node. */
  const producer = new Int32Array(nodes.length);
  // The last visit of each node, directly and through a view.
  const visited = new Int32Array(nodes.length).fill(-1);
  const visitedViewed = new Int32Array(nodes.length).fill(-1);
  let visits = 0;
  /** Materialized nodes and leaves that are read, step by step. */
  const readNodes: number[] = [];
  const readLeaves: number[] = [];
  /** Leaves that the last step reads through a view, not element by element at the same position. */
  const viewedLeaves: number[] = [];
  /** The first kernel that checks an index against an axis size; later checks of the same pair cannot fail. */
  const checks = new Map<string, number>();

  for (let id = 0; id < nodes.length; id++) {
    if (!fusion.materialized[id]) continue;
    const leaf = fusion.inPlace.get(id);
    const writes = leaf === undefined ? none : [leaf];
    steps.push({ step: { kind: "node", node: id }, reads: readsOf(nodes[id].inputs), writes, order: id });
  }
  for (const { assignments } of fusion.updates) {
    const values = assignments.map((i) => graph.assignments[i].value);
    const writes = assignments.map((i) => graph.assignments[i].leaf);
    const reads = readsOf(values);
    const staged = writes.some((leaf) => viewedLeaves.includes(leaf));
    steps.push({ step: { kind: "update", assignments, staged }, reads, writes, order: Math.max(...values) });
  }
  // A materialized node is written directly to the memory of its first output; further outputs are copies.
  const direct = new Set<number>();
  graph.outputs.forEach((id, output) => {
    if (isDirect(id, fusion) && !direct.has(id)) direct.add(id);
    else
      steps.push({
        step: { kind: "store", output },
        reads: readsOf([id]),
        writes: none,
        order: nodes.length,
      });
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

  /** The steps that read each leaf. */
  const readers = new Lists(graph.leafCount);
  /** For each value replaced by an in-place write, the steps that read it. */
  const readersOfWritten = new Map([...fusion.inPlace.keys()].map((id) => [id, [] as number[]]));
  steps.forEach(({ reads }, s) => {
    for (let i = reads.leaves; i < reads.leavesEnd; i++) readers.append(readLeaves[i], s);
    for (let i = reads.nodes; i < reads.nodesEnd; i++) readersOfWritten.get(readNodes[i])?.push(s);
  });
  /** The readers of the old value, for an in-place write that follows another one. */
  const readersOfOld = (step: Step) =>
    step.kind === "node" ? readersOfWritten.get(nodes[step.node].inputs[0]) : undefined;
  const waitsFor = new Int32Array(steps.length).fill(-1);
  /** Per step, the number of steps it depends on, and the steps that depend on it. */
  const blocked = new Int32Array(steps.length);
  const unlocks = new Lists(steps.length);
  steps.forEach(({ step, reads, writes }, s) => {
    const wait = (other: number) => {
      if (other === s || waitsFor[other] === s) return;
      waitsFor[other] = s;
      blocked[s]++;
      unlocks.append(other, s);
    };
    for (let i = reads.nodes; i < reads.nodesEnd; i++) wait(producer[readNodes[i]]);
    if (writes.length > 0) for (const check of checks.values()) wait(check);
    for (const leaf of writes) for (const reader of readersOfOld(step) ?? readers.of(leaf)) wait(reader);
  });
  return order(steps, blocked, unlocks);

  function readsOf(roots: readonly number[]): Reads {
    visits++;
    viewedLeaves.length = 0;
    const [firstNode, firstLeaf] = [readNodes.length, readLeaves.length];
    for (const id of roots) follow(id, false);
    return {
      nodes: firstNode,
      nodesEnd: readNodes.length,
      leaves: firstLeaf,
      leavesEnd: readLeaves.length,
    };
  }

  function follow(id: number, viewed: boolean): void {
    const stamps = viewed ? visitedViewed : visited;
    if (stamps[id] === visits) return;
    stamps[id] = visits;
    const { op, leaf, inputs } = nodes[id];
    if (leaf >= 0) {
      readLeaves.push(leaf);
      if (viewed) viewedLeaves.push(leaf);
    } else if (fusion.materialized[id]) {
      readNodes.push(id);
    } else {
      for (const input of inputs) follow(input, viewed || op?.kind === "view");
    }
  }
}

const none: readonly number[] = [];

/**
 * Kahn's algorithm; of the ready steps the first one is next. Cyclic updates are staged: computed into temporaries. undefined if an
 * in-place write is part of a cycle or depends on one.
 */
function order(
  steps: readonly { step: Step; writes: readonly number[] }[],
  blocked: Int32Array,
  unlocks: Lists,
): Step[] | undefined {
  const result: Step[] = [];
  const done = new Uint8Array(steps.length);
  // All steps before it are done or not ready.
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
    for (const later of unlocks.of(s)) if (--blocked[later] === 0 && later < next) next = later;
  }
  return result;
}
