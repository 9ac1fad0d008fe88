/**
 * Pass 2, fuse: decides which nodes get memory of their own ("materialized") and which are computed inline,
 * element by element, in the kernels that use them.
 *
 * Nodes are visited from the results to the inputs, so that all uses of a node are known: which kernel reads it, through which chain of
 * views. An elementwise node with one use is fused into that kernel; with several it is materialized, unless recomputing it costs less than
 * reading it.
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
  /** Per node, whether it gets its own memory; false for leaves. */
  readonly materialized: readonly boolean[];
  readonly updates: readonly UpdateGroup[];
  /** Elementwise node → the product or convolution that applies it while writing its result. */
  readonly epilogues: ReadonlyMap<number, number>;
  readonly inPlace: InPlace;
}

/** Whether a result's node is computed directly in the result's memory. */
export function isDirect(id: number, { materialized, inPlace }: Fusion): boolean {
  return materialized[id] && !inPlace.has(id);
}

/** A way in which a kernel reads a node. Each way through a chain of views is one object. */
interface Use {
  /** The kernel that reads: a node id, or `nodes.length + g` for update group g. */
  readonly kernel: number;
  /** Without a view in between. */
  readonly direct: boolean;
  readonly expanded: boolean;
  readonly reshaped: boolean;
  /** Through a view other than reshape, which changes the order or number of elements. */
  readonly moved: boolean;
  /** Mark of `distinct`: the last node whose uses were checked. */
  seen: number;
}

/** Maximum number of kernels that recompute a cheap node. */
const maxDuplicates = 4;

/**
 * Maximum number of assignments in one kernel: a parameter with its moments has at most four. Without a bound, a common factor, as in
 * gradient clipping, would join all parameters of rank 0.
 */
const maxUpdates = 8;

export interface FuseOptions {
  /** false materializes every node, for tests that compare with the unfused Program. */
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
  /** Per kernel node: its use, if it is the only one. */
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
          // Random numbers depend on logical indices; reductions choose their order of iteration.
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

  /** Makes the elementwise kernel that is the only consumer of kernel node `id` its epilogue, if possible. */
  function joinEpilogue(id: number): void {
    const { op, shape, inputs } = nodes[id];
    if (!options.enabled || forced[id] || op?.kind !== "kernel" || op.takesEpilogue === undefined) return;
    if (consumer[id] === undefined || inputs.some((input) => sizeOf(nodes[input].shape) === 0)) return;
    const { kernel, expanded, reshaped, moved } = consumer[id];
    const reader = nodes[kernel];
    if (expanded || moved || (reshaped && op.takesEpilogue !== "reshaped")) return;
    // Results of the graph are row-major, and float convolutions are faster channels-last: the separate map transposes.
    if (forced[kernel] && op.takesEpilogue !== "reshaped" && !op.epilogueCasts) return;
    if (reader?.op?.kind !== "elementwise" || epilogues.has(kernel)) return;
    if (reader.dtype !== "float32" && !op.epilogueCasts) return;
    // Random numbers depend on logical indices, which are not available in epilogues.
    if (random[kernel] || sizeOf(reader.shape) !== sizeOf(shape)) return;
    materialized[id] = false;
    epilogues.set(kernel, id);
  }

  function mayInline(id: number, own: readonly Use[]): boolean {
    const more = nodes[id].inputs.length - 1;
    for (const { kernel, expanded, reshaped } of own) {
      if (expanded || (reshaped && broadcasts[id])) return false;
      // A node may need instructions for loads and constants as well: 3 per node as an upper bound.
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

/** The uses of node `id` without duplicates. */
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

/** Number of inputs that are not constants or other sources. */
function variableInputs(node: GraphNode, nodes: readonly GraphNode[]): number {
  let count = 0;
  for (const input of node.inputs) if (nodes[input].op?.kind !== "source") count++;
  return count;
}

/** Forces the node below a chain of views into memory. */
function forceBase(nodes: readonly GraphNode[], forced: boolean[], id: number): void {
  let base = id;
  while (nodes[base].op?.kind === "view") base = nodes[base].inputs[0];
  forced[base] = true;
}

/** Whether recomputing a node costs less than a store and a load: cheap instructions with at most one variable operand. */
function isCheap(node: GraphNode, nodes: readonly GraphNode[]): boolean {
  if (node.op?.kind !== "elementwise") return false;
  return variableInputs(node, nodes) <= 1 && instructionOf(node.op.instruction).isCheap;
}

/** Per node, whether the elementwise tree below it contains a broadcast, through which a reshape cannot be moved. */
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
  /** Per node, the first and the last assignment that visited it. */
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
