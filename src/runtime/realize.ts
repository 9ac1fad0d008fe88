/**
 * Realizing: computes lazy tensors. Extracts the graph above tensors that have memory, compiles it (or finds its Program in the cache) and
 * runs it. All computation outside replays of jit functions uses this.
 */
import { type BoundGraph, extractGraph } from "../compiler/graph.js";
import { check } from "../core/check.js";
import type { DType } from "../core/dtype.js";
import { type Shape, sizeOf } from "../core/shape.js";
import type { Device, WarmupProgress } from "../device/device.js";
import { isRecorded } from "../graph/observe.js";
import type { ViewOp } from "../graph/op.js";
import { tensors as tensorList } from "../graph/require.js";
import { changeCount, Storage } from "../graph/storage.js";
import {
  createNode,
  currentValue,
  type Node,
  observeGradients,
  observeNodes,
  type Tensor,
} from "../graph/tensor.js";
import { type CompiledGraph, type Session, sessionOf } from "./session.js";

/** A deeper graph is realized automatically, to bound the memory of loops that never read a value. */
const maxDepth = 4096;
/** Levels below a node that are realized with it: more than a residual connection spans. */
const recentLevels = 64;
/** Maximum number of elements realized with it, 64 MB of float32, for loops over large tensors. */
const maxRecentSize = 2 ** 24;

/** Set by the debug mode: called for every new node. */
let debugObserver: ((tensor: Tensor) => void) | undefined;

export function setDebugObserver(observer: ((tensor: Tensor) => void) | undefined): void {
  debugObserver = observer;
}

export function isDebugging(): boolean {
  return debugObserver !== undefined;
}

observeNodes((tensor) => {
  if (tensor.node!.depth > maxDepth && sessionOf(tensor.device).capture === undefined)
    realize(recent(tensor));
  debugObserver?.(tensor);
});

/**
 * A tensor and its recent lazy ancestors. It is unknown which of them the program still uses; one that stayed lazy (the input of a residual
 * block) would be recomputed from the start with the next graph that is too deep.
 */
function recent(tensor: Tensor): Tensor[] {
  const found = new Set([tensor]);
  let size = 0;
  for (const { node } of found) {
    for (const value of node!.values) {
      if (value.storage || !value.node || value.node.depth < maxDepth - recentLevels) continue;
      if (size + value.size > maxRecentSize) continue;
      if (!found.has(value)) size += value.size;
      found.add(value);
    }
  }
  return [...found];
}

observeGradients((tensor) => {
  sessionOf(tensor.device).differentiated.add(tensor);
});

/**
 * Computes lazy tensors now, one Program per device, together with pending slice assignments that they need. Tensors with memory are
 * unchanged; tensors that `jit` is recording get their values in each call.
 *
 * @example
 * const sum = add(tensor([1, 2]), 1);
 * realize([sum]);
 * sum.storage === undefined; // false
 */
export function realize(tensors: readonly Tensor[]): void {
  check("realize", "the first argument", tensors, tensorList);
  for (const [device, list] of lazyByDevice(tensors)) {
    const session = sessionOf(device);
    const all = withOtherGradients(list, session);
    let planned: Plan;
    try {
      planned = plan(session, all, []);
    } catch (error) {
      if (all === list) throw error;
      // What cannot be computed, or not stored, may be one of the others.
      planned = plan(session, list, []);
    }
    run(planned);
  }
}

/** With a gradient, all pending gradients: read one by one, each would compute again what it shares with the others. */
function withOtherGradients(list: readonly Tensor[], session: Session): readonly Tensor[] {
  if (session.capture !== undefined) return list;
  const gradients = session.gradients.filter(({ storage }) => storage === undefined);
  return list.some((value) => gradients.includes(value)) ? [...new Set([...list, ...gradients])] : list;
}

/** The tensors without memory, without duplicates, by device. */
function lazyByDevice(tensors: readonly Tensor[]): Map<Device, Tensor[]> {
  const byDevice = new Map<Device, Tensor[]>();
  for (const tensor of tensors) {
    const value = currentValue(tensor);
    if (value.storage !== undefined || isRecorded(value)) continue;
    const list = byDevice.get(value.device);
    if (list === undefined) byDevice.set(value.device, [value]);
    else if (!list.includes(value)) list.push(value);
  }
  return byDevice;
}

/**
 * Prepares the device for `realize(tensors)` (or reading them) without blocking the thread, and computes nothing. On WebGL2 the first
 * `realize` would otherwise wait for shaders to compile. It also prepares other tensors with the same graph structure. `progress` is called
 * with the number of compiled shaders and of all shaders.
 *
 * @example
 * const output = new Linear(3, 2).forward(zeros([1, 3]));
 * await warmup([output], (done, all) => console.log(`compiling shaders ${done}/${all}`));
 * output.shape; // [1, 2]
 */
export async function warmup(tensors: readonly Tensor[], progress?: WarmupProgress): Promise<void> {
  check("warmup", "the first argument", tensors, tensorList);
  for (const [device, list] of lazyByDevice(tensors)) {
    if (device.warmup === undefined) continue;
    const session = sessionOf(device);
    await device.warmup(session.executable(session.compile(graphOf(session, list, []))), progress);
  }
}

/** A compiled Program with its leaves and memory for its results, not run yet. */
export interface Plan {
  readonly session: Session;
  readonly bound: BoundGraph;
  readonly compiled: CompiledGraph;
  readonly outputs: readonly Tensor[];
  readonly results: readonly Storage[];
}

function graphOf(session: Session, outputs: readonly Tensor[], assigned: readonly Tensor[]): BoundGraph {
  const waits = assigned.length === 0 && session.capture === undefined;
  return extractGraph(outputs, assigned, undefined, waits ? session.pending : []);
}

export function plan(session: Session, outputs: readonly Tensor[], assigned: readonly Tensor[]): Plan {
  const bound = graphOf(session, outputs, assigned);
  const compiled = session.compile(bound);
  return { session, bound, compiled, outputs, results: allocateResults(session.device, outputs) };
}

export function run({ session, bound, compiled, outputs, results }: Plan): void {
  try {
    session.run(compiled, bound.leaves, results, bound.scalars);
  } catch (error) {
    discard(results);
    throw error;
  }
  commitResults(session, bound, outputs, results);
}

export function discard(results: readonly Storage[]): void {
  for (const storage of results) storage.dispose();
}

/** Allocates buffers for results; if one allocation fails, all are freed. */
export function allocateResults(device: Device, like: readonly { dtype: DType; shape: Shape }[]): Storage[] {
  const results: Storage[] = [];
  try {
    for (const { dtype, shape } of like) {
      const buffer = sessionOf(device).withMemory(() => device.allocate(dtype, sizeOf(shape)));
      results.push(new Storage(device, buffer));
    }
  } catch (error) {
    discard(results);
    throw error;
  }
  return results;
}

/** After a run: sets the memory of the output tensors, and records the in-place changes. */
export function commitResults(
  session: Session,
  bound: BoundGraph,
  outputs: readonly Tensor[],
  results: readonly Storage[],
): void {
  outputs.forEach((tensor, i) => {
    tensor.storage = results[i];
    if (!tensor.requiresGrad) tensor.node = undefined;
  });
  for (const { leaf } of bound.graph.assignments) bound.leaves[leaf].noteChange();
  for (const tensor of bound.assigned) {
    const value = tensor.pending!;
    // Lazy tensors built on the value now depend on the written tensor, because the value's own inputs may change.
    if (value.storage === undefined) value.node = written(tensor);
    tensor.pending = undefined;
    session.pending.delete(tensor);
  }
}

const identity: ViewOp = { kind: "view", name: "identity", apply: (input) => input };

/** A new lazy tensor with the same value, without gradient history. */
export function copyOf(x: Tensor): Tensor {
  return createNode(identity, [x], undefined, x.shape, x.dtype);
}

/** A node whose value is that of the tensor it was written to; stale once that changes. */
function written(target: Tensor): Node {
  return {
    op: identity,
    inputs: [target],
    values: [target],
    attributes: undefined,
    versions: [target.storage!.version],
    depth: 1,
    scope: undefined,
    since: changeCount,
    mark: -1,
  };
}
