/**
 * Realizing: cuts the lazy graph at the buffers that exist, compiles the part above the cut (or finds its
 * Program) and runs it. Everything that turns recipes into values goes through here.
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

/** A graph deeper than this realizes itself, so that a loop that never reads anything stays flat. */
const maxDepth = 4096;
/** Levels below a node that are realized with it: more than a residual connection spans. */
const recentLevels = 64;
/** Elements of those that are realized, 64 MB of float32: a bound for loops over large tensors. */
const maxRecentSize = 2 ** 24;

/** Set by the debug mode: called for every new node, before anything else sees it. */
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
 * A tensor and the lazy ones that it was computed from lately. What the program still holds of them is not known; one that stayed lazy,
 * as the input of a residual block, would be computed again from its beginning with the next graph that is too deep.
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
  for (const [device, list] of lazyByDevice(tensors)) run(plan(sessionOf(device), list, []));
}

/** Those without memory, each once, by their devices. */
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
 * Prepares the device for `realize(tensors)` (or reading them) without blocking the thread, and computes nothing: on WebGL2 the first
 * such call would otherwise wait for shaders to compile. It also serves other tensors with the same graph structure. `progress` is
 * called with the number of compiled shaders and of all shaders.
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

/** What a Program computes and writes, with memory for its results: nothing has changed yet. */
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

/** Buffers for results; if the device cannot give one, none is kept. */
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

/** Hands the results to their tensors and marks what was changed in place. */
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
    // What was built on the value, or the value itself, may be read later: by then its own inputs may have changed.
    if (value.storage === undefined) value.node = written(tensor);
    tensor.pending = undefined;
    session.pending.delete(tensor);
  }
}

const identity: ViewOp = { kind: "view", name: "identity", apply: (input) => input };

/** The value of a tensor as one of its own, without its history. */
export function copyOf(x: Tensor): Tensor {
  return createNode(identity, [x], undefined, x.shape, x.dtype);
}

/** A value by the tensor that it was written to, for as long as that does not change. */
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
