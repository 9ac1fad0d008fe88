/**
 * Pass 2, fuse: decides which nodes get memory of their own ("materialized") and which are computed inline,
 * element by element, in the kernels that use them.
 *
 * Walking from the results to the inputs, each node knows all its uses: which kernel reads it, through which
 * chain of views. An elementwise node with one use melts into that kernel; with several it is materialized,
 * unless computing it again costs less than reading it.
 */

import { sameShape, sizeOf } from "../core/shape.js";
import { maxExpressionInputs, maxExpressionInstructions } from "../kernels/expression.js";
import { instructionOf } from "../kernels/instructions.js";
import type { Graph, GraphNode } from "./graph.js";
import type { InPlace } from "./in_place.js";
import { Lists } from "./lists.js";

/** Assignments whose values share work and shape: one kernel with several outputs. */
export interface UpdateGroup {
  readonly assignments: readonly number[];
}

export interface Fusion {
  /** Per node: has memory of its own. Leaves are not counted. */
  readonly materialized: readonly boolean[];
  readonly updates: readonly UpdateGroup[];
  /** Elementwise node → the product or convolution that applies it while writing its result. */
  readonly epilogues: ReadonlyMap<number, number>;
  readonly inPlace: InPlace;
}

/** Whether a node that is a result is computed in the result's memory. */
export function isDirect(id: number, { materialized, inPlace }: Fusion): boolean {
  return materialized[id] && !inPlace.has(id);
}

/** A way in which a kernel reads a node. Each way through a chain of views is one object. */
interface Use {
  /** The kernel that reads: a node id, or `nodes.length + g` for update group g. */
  readonly kernel: number;
  /** No view stands between. */
  readonly direct: boolean;
  readonly expanded: boolean;
  readonly reshaped: boolean;
  /** A view that moves elements stands between: any but a reshape. */
  readonly moved: boolean;
  /** The node whose list of uses was last looked through. */
  seen: number;
}

/** More duplicates than this and a cheap node is stored after all. */
const maxDuplicates = 4;

/**
 * Most assignments in one kernel: a parameter with its moments has four at most. Without a bound, parameters of rank 0
 * would all be joined by a common factor, as gradient clipping has.
 */
const maxUpdates = 8;

export interface FuseOptions {
  /** false materializes every node: the unfused Program that tests compare with. */
  readonly enabled: boolean;
}

export function fuse(graph: Graph, inPlace: InPlace, options: FuseOptions = { enabled: true }): Fusion {
  const { nodes } = graph;
  const materialized = new Array<boolean>(nodes.length).fill(false);
  const uses = new Lists<Use>(nodes.length);
  const forced = new Array<boolean>(nodes.length).fill(false);
  const updates = options.enabled
    ? groupUpdates(graph)
    : graph.assignments.map((_, i) => ({ assignments: [i] }));
  const epilogues = new Map<number, number>();
  const instructions = new Int32Array(nodes.length + updates.length);
  const loads = new Int32Array(nodes.length + updates.length).fill(1);
  const broadcasts = findBroadcasts(nodes);
  /** Per kernel node: its use, if it has one only. */
  const consumer: (Use | undefined)[] = [];
  /** Per kernel: whether it draws random numbers. */
  const random = new Array<boolean>(nodes.length + updates.length).fill(false);

  for (const id of [...graph.outputs, ...inPlace.keys()]) forced[id] = true;
  updates.forEach(({ assignments }, g) => {
    const use = directUse(nodes.length + g);
    for (const i of assignments) uses.append(graph.assignments[i].value, use);
    loads[use.kernel] = assignments.length;
  });

  for (let id = nodes.length - 1; id >= 0; id--) {
    const node = nodes[id];
    const own = distinct(uses.of(id), id);
    if (node.op === undefined || (own.length === 0 && !forced[id])) continue;
    switch (node.op.kind) {
      case "view":
        for (const use of own) uses.append(node.inputs[0], throughView(use, node.op.name));
        if (forced[id]) forceBase(nodes, forced, id);
        break;
      case "elementwise":
        if (options.enabled && !forced[id] && mayInline(id, own)) {
          for (const use of own) {
            grow(use.kernel, node);
            for (const input of node.inputs) uses.append(input, use);
          }
        } else {
          materialize(id);
        }
        break;
      case "source":
        if (node.op.source === "uniform" || node.op.source === "iota") {
          const inline = options.enabled && !forced[id] && own.length === 1 && own[0].direct;
          // A random number belongs to its logical index, and reductions choose the order in which they walk.
          const reduced = node.op.source === "uniform" && nodes[own[0]?.kernel]?.op?.kind === "reduce";
          materialized[id] = !inline || reduced;
          if (inline && node.op.source === "uniform") random[own[0].kernel] = true;
        }
        break;
      case "reduce":
        materialize(id);
        break;
      case "kernel":
        materialized[id] = true;
        if (own.length === 1) consumer[id] = own[0];
        for (const input of node.inputs) {
          forced[input] = true;
          forceBase(nodes, forced, input);
        }
        break;
    }
  }
  for (let id = nodes.length - 1; id >= 0; id--) if (materialized[id]) joinEpilogue(id);
  return { materialized, updates, epilogues, inPlace };

  function materialize(id: number): void {
    materialized[id] = true;
    grow(id, nodes[id]);
    const use = directUse(id);
    for (const input of nodes[id].inputs) uses.append(input, use);
  }

  function grow(kernel: number, node: GraphNode): void {
    instructions[kernel]++;
    loads[kernel] += Math.max(0, variableInputs(node, nodes) - 1);
  }

  /** If all that reads node `id` is an elementwise kernel of its size, the node's kernel computes that as well. */
  function joinEpilogue(id: number): void {
    const { op, shape, inputs } = nodes[id];
    if (!options.enabled || forced[id] || op?.kind !== "kernel" || op.takesEpilogue === undefined) return;
    if (consumer[id] === undefined || inputs.some((input) => sizeOf(nodes[input].shape) === 0)) return;
    const { kernel, expanded, reshaped, moved } = consumer[id];
    const reader = nodes[kernel];
    if (expanded || moved || (reshaped && op.takesEpilogue !== "reshaped")) return;
    // A result of the graph is row-major, and float convolutions are faster channels-last: the reader transposes.
    if (forced[kernel] && op.takesEpilogue !== "reshaped" && !op.epilogueCasts) return;
    if (reader?.op?.kind !== "elementwise" || epilogues.has(kernel)) return;
    if (reader.dtype !== "float32" && !op.epilogueCasts) return;
    // Random numbers belong to logical indices, which kernels do not know.
    if (random[kernel] || sizeOf(reader.shape) !== sizeOf(shape)) return;
    materialized[id] = false;
    epilogues.set(kernel, id);
  }

  function mayInline(id: number, own: readonly Use[]): boolean {
    const more = nodes[id].inputs.length - 1;
    for (const { kernel, expanded, reshaped } of own) {
      if (expanded || (reshaped && broadcasts[id])) return false;
      // Loads and constants take instructions of their own, hence the margin of 3 per node.
      if (3 * (instructions[kernel] + 1) > maxExpressionInstructions) return false;
      if (loads[kernel] + more > maxExpressionInputs) return false;
    }
    return own.length === 1 || (own.length <= maxDuplicates && isCheap(nodes[id], nodes));
  }
}

function directUse(kernel: number): Use {
  return { kernel, direct: true, expanded: false, reshaped: false, moved: false, seen: -1 };
}

function throughView({ kernel, expanded, reshaped, moved }: Use, name: string): Use {
  return {
    kernel,
    direct: false,
    expanded: expanded || name === "expand",
    reshaped: reshaped || name === "reshape",
    moved: moved || name !== "reshape",
    seen: -1,
  };
}

/** Each use of node `id` once. */
function distinct(list: readonly Use[], id: number): readonly Use[] {
  if (list.length < 2) return list;
  const result: Use[] = [];
  for (const use of list) {
    if (use.seen === id) continue;
    use.seen = id;
    result.push(use);
  }
  return result;
}

/** Inputs that are no constants or other sources. */
function variableInputs(node: GraphNode, nodes: readonly GraphNode[]): number {
  let count = 0;
  for (const input of node.inputs) if (nodes[input].op?.kind !== "source") count++;
  return count;
}

/** A view that must be in memory needs the node below its views in memory. */
function forceBase(nodes: readonly GraphNode[], forced: boolean[], id: number): void {
  let base = id;
  while (nodes[base].op?.kind === "view") base = nodes[base].inputs[0];
  forced[base] = true;
}

/** One instruction on one variable operand that costs less than a store and a load: masks, casts, scaling. */
function isCheap(node: GraphNode, nodes: readonly GraphNode[]): boolean {
  if (node.op?.kind !== "elementwise") return false;
  return variableInputs(node, nodes) <= 1 && instructionOf(node.op.instruction).isCheap;
}

/** Per node: whether a broadcast stands in the elementwise tree below it, so that a reshape cannot pass through. */
function findBroadcasts(nodes: readonly GraphNode[]): boolean[] {
  const result: boolean[] = [];
  for (const node of nodes) {
    const kind = node.op?.kind;
    if (kind === "view") result.push(node.op!.name === "expand" || result[node.inputs[0]]);
    else if (kind === "elementwise") result.push(node.inputs.some((input) => result[input]));
    else result.push(false);
  }
  return result;
}

/** Joins assignments of one shape that share an elementwise node, as Adam's parameter and moments do. */
function groupUpdates(graph: Graph): UpdateGroup[] {
  const { nodes, assignments } = graph;
  const group = assignments.map((_, i) => i);
  const find = (i: number): number => {
    while (group[i] !== i) i = group[i];
    return i;
  };
  const sizes = assignments.map(() => 1);
  const join = (a: number, b: number): void => {
    if (a === b || sizes[a] + sizes[b] > maxUpdates) return;
    group[a] = b;
    sizes[b] += sizes[a];
  };
  /** Of each node, the assignment that first reached it, and the one that last did. */
  const owner = new Int32Array(nodes.length).fill(-1);
  const seen = new Int32Array(nodes.length).fill(-1);
  assignments.forEach(({ value }, i) => {
    const { shape } = nodes[value];
    const stack = [value];
    while (stack.length > 0) {
      const id = stack.pop()!;
      const node = nodes[id];
      if (seen[id] === i || node.op?.kind !== "elementwise" || !sameShape(node.shape, shape)) continue;
      seen[id] = i;
      if (owner[id] < 0) owner[id] = i;
      else join(find(i), find(owner[id]));
      for (const input of node.inputs) stack.push(input);
    }
  });
  const members = new Map<number, number[]>();
  assignments.forEach((_, i) => {
    const root = find(i);
    const list = members.get(root);
    if (list === undefined) members.set(root, [i]);
    else list.push(i);
  });
  return [...members.values()].map((list) => ({ assignments: list }));
}
