/**
 * Realizing: cuts the lazy graph at the buffers that exist, compiles the part above the cut (or finds its
 * Program) and runs it. Everything that turns recipes into values goes through here.
 */

import { type BoundGraph, extractGraph, isPartial } from "../compiler/graph.js";
import { aDevice, aDType, check, type Kind } from "../core/check.js";
import { type DType, newArray, type TypedArray } from "../core/dtype.js";
import { DeviceError, DTypeError, JitError, ShapeError, StaleTensorError } from "../core/errors.js";
import { afterCollection, isTurnDue, takeTurn } from "../core/event_loop.js";
import { checkShape, formatShape, type Shape, sameShape, sizeOf } from "../core/shape.js";
import { defaultDevice, deviceOf } from "../device/default.js";
import type { BufferRange, Device, MemoryReport, WarmupProgress } from "../device/device.js";
import { isRecorded, recorder, unobserved } from "../graph/observe.js";
import type { ViewOp } from "../graph/op.js";
import { requireTensor, tensors as tensorList } from "../graph/require.js";
import { changeCount, Storage } from "../graph/storage.js";
import {
  createNode,
  currentValue,
  type Node,
  observeGradients,
  observeNodes,
  Tensor,
} from "../graph/tensor.js";
import { type CompiledGraph, type Session, sessionOf } from "./session.js";

/** A graph deeper than this realizes itself, so that a loop that never reads anything stays flat. */
const maxDepth = 4096;

/** Set by the debug mode: called for every new node, before anything else sees it. */
let debugObserver: ((tensor: Tensor) => void) | undefined;

export function setDebugObserver(observer: ((tensor: Tensor) => void) | undefined): void {
  debugObserver = observer;
}

export function isDebugging(): boolean {
  return debugObserver !== undefined;
}

observeNodes((tensor) => {
  if (tensor.node!.depth > maxDepth && sessionOf(tensor.device).capture === undefined) realize([tensor]);
  debugObserver?.(tensor);
});

observeGradients((tensor) => {
  sessionOf(tensor.device).differentiated.add(tensor);
});
const aTypedArray: Kind = [
  "a typed array",
  (value) => ArrayBuffer.isView(value) && !(value instanceof DataView),
];

/**
 * Uploads host data into a new leaf tensor. `data` has `sizeOf(shape)` elements and is copied; undefined leaves the memory
 * uninitialized, for `overwrite`. `inFull` stores float32 in full on devices that would otherwise store half floats, if they can. Most
 * programs use `tensor`.
 *
 * @example
 * leaf(defaultDevice(), "float32", [2], Float32Array.of(1, 2)); // [1, 2]
 *
 * @throws OutOfMemoryError
 */
export function leaf(
  device: Device,
  dtype: DType,
  shape: Shape,
  data: TypedArray | undefined,
  { inFull = false }: { readonly inFull?: boolean } = {},
): Tensor {
  check("leaf", "the device", device, aDevice);
  check("leaf", "the dtype", dtype, aDType);
  checkShape(shape, "leaf");
  const size = sizeOf(shape);
  if (data && check("leaf", "the data", data, aTypedArray).length !== size) {
    throw new ShapeError(`${data.length} elements given for shape ${formatShape(shape)}`, { op: "tensor" });
  }
  const buffer = sessionOf(device).withMemory(() => device.allocate(dtype, size));
  const tensor = new Tensor(shape, dtype, device, { storage: new Storage(device, buffer) });
  if (inFull) keepInFull(tensor);
  if (data) {
    device.write(buffer, data);
    recorder?.upload(tensor, data);
  }
  return tensor;
}

/** All bits of a float32 tensor with memory from now on, if the device can. */
export function keepInFull({ device, dtype, storage }: Tensor): void {
  if (dtype !== "float32") return;
  try {
    device.keepInFull?.(storage!.buffer);
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
  }
}

/**
 * Overwrites a tensor's memory, or the elements of `range`, with host data of the same length, at once; lazy tensors built on it go
 * stale.
 */
export function overwrite(tensor: Tensor, data: TypedArray, range?: BufferRange): void {
  if (recorder !== undefined && !isRecorded(tensor)) {
    throw new JitError("a tensor is overwritten inside, which replays would not do", {
      hint: "use assign()",
    });
  }
  flush(tensor.device);
  const { storage, size, shape } = tensor;
  if (storage === undefined || (!range && data.length !== size)) {
    throw new ShapeError(`${data.length} elements given for shape ${formatShape(shape)}`, {
      op: "overwrite",
    });
  }
  tensor.device.write(storage.buffer, data, range);
  storage.noteChange();
}

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

/**
 * Realizes all pending assignments, losses on which backward() was called and pending gradients, as one Program: what
 * `optimizer.step()` does. While `jit` is capturing a function, this is postponed to the end of the capture.
 *
 * @example
 * const x = tensor([1, 2]);
 * x.assign(mul(x, 10));
 * flush(x.device);
 * x; // [10, 20]
 */
export function flush(device: Device): void {
  check("flush", "the device", device, aDevice);
  commit([device]);
}

/**
 * The same for several devices, all or nothing: everything is compiled and has its memory before anything is written. If
 * that fails, `undo` takes back what the caller had planned, and what can never be computed is forgotten; all else
 * waits as before. `op` is the caller's name in errors about gradients.
 *
 * @throws StaleTensorError, OutOfMemoryError, DeviceLostError
 */
export function commit(devices: Iterable<Device>, op = "backward", undo?: () => void): void {
  const sessions = [...devices].map(sessionOf).filter(({ capture }) => capture === undefined);
  const plans: Plan[] = [];
  let isWritten = false;
  try {
    for (const session of sessions) {
      const lazy = new Set(
        [...session.roots, ...waitingGradients(session)].filter(({ storage }) => !storage),
      );
      if (lazy.size + session.pending.size > 0) plans.push(plan(session, [...lazy], [...session.pending]));
    }
    for (const each of plans) {
      run(each);
      isWritten = true;
    }
  } catch (error) {
    // Only a device that fails while it runs leaves others written: what waits on it is written by the next flush.
    if (!isWritten) undo?.();
    for (const { outputs, results } of plans) if (outputs[0]?.storage !== results[0]) discard(results);
    throw explained(error, sessions, op);
  }
  for (const session of sessions) {
    for (const root of session.roots) {
      if (root.node === undefined) continue;
      root.node = undefined;
      usedUp.add(root);
    }
    session.roots.clear();
    session.differentiated.clear();
  }
}

/** Losses whose graph the next step has given up. */
const usedUp = new WeakSet<Tensor>();

/** Whether backward() was called on the tensor and a step has given its graph up: nothing can flow through it. */
export function isUsedUp(tensor: Tensor): boolean {
  return usedUp.has(tensor);
}

/** Forgets what can never be computed, so that the next step does not fail by it again. What is to be thrown. */
function explained(error: unknown, sessions: readonly Session[], op: string): unknown {
  if (!(error instanceof StaleTensorError)) return error;
  const found: StaleTensorError[] = [];
  const check = (value: Tensor, caller: string, what: string, { shape }: Tensor, forget: () => void) => {
    try {
      extractGraph([value], []);
    } catch (reason) {
      if (!(reason instanceof StaleTensorError)) throw reason;
      forget();
      // Without the op inside, which the user may never have called.
      const why = reason.message.slice(reason.op === undefined ? 0 : reason.op.length + 2);
      const message = `${what} of shape ${formatShape(shape)} cannot be computed: ${why}`;
      found.push(new StaleTensorError(message, { op: caller, cause: reason }));
    }
  };
  for (const { pending, roots, differentiated } of sessions) {
    for (const target of pending) {
      const forget = () => unassign(target);
      if (target.storage?.disposed) forget();
      else check(target.pending!, "assign", "the value of a tensor", target, forget);
    }
    for (const root of roots) check(root, "backward", "the loss", root, () => roots.delete(root));
    for (const leaf of differentiated) {
      if (leaf.grad === undefined) continue;
      check(leaf.grad, op, "the gradient of a tensor", leaf, () => {
        leaf.grad = undefined;
      });
    }
  }
  return found[0] ?? error;
}

/**
 * Gives a leaf tensor a new value of its shape and dtype, written in place by the next `flush`; ops built from now on use it.
 *
 * @example
 * const x = tensor([1, 2]);
 * assign(x, mul(x, 10));
 * x; // [10, 20]
 *
 * @throws ShapeError or DTypeError for another shape or dtype, ArgumentError for a tensor without memory.
 */
export function assign(target: Tensor, value: Tensor): void {
  requireTensor("assign", target, "the target");
  requireTensor("assign", value, "the value");
  const details = { op: "assign", device: target.device.name };
  if (!sameShape(target.shape, value.shape)) {
    throw new ShapeError(
      `shapes differ, ${formatShape(target.shape)} and ${formatShape(value.shape)}`,
      details,
    );
  }
  if (target.dtype !== value.dtype)
    throw new DTypeError(`${value.dtype} given for a ${target.dtype} tensor`, details);
  if (recorder !== undefined) {
    // Memory made inside would be made once, and keep its value from call to call.
    if (isRecorded(target) || sessionOf(target.device).capture === undefined) {
      throw new JitError("assign() inside changes a tensor that is made inside or lives on another device", {
        hint: "make it outside, on the device of the arguments",
      });
    }
    recorder.use([value]);
  }
  // At once: the step that writes the value would fail for everything else that waits with it.
  if (target.storage?.disposed) throw new StaleTensorError("the tensor was disposed", details);
  if (target.storage === undefined) {
    if (target.node === undefined) throw new StaleTensorError("the tensor was disposed", details);
    unobserved(() => realize([target]));
    target.node = undefined;
  }
  const session = sessionOf(target.device);
  const reassigned = target.pending === undefined ? 0 : (reassignments.get(target) ?? 0) + 1;
  // Without the history of the value, whose gradient is not the target's.
  target.pending = value.requiresGrad ? copyOf(value) : currentValue(value);
  session.pending.add(target);
  reassignments.set(target, reassigned);
  if (reassigned > maxReassignments && session.capture === undefined) {
    for (const tensor of session.pending) reassignments.delete(tensor);
    const [parts, others] = [true, false].map((is) =>
      [...session.pending].filter(({ pending }) => isPartial(pending!) === is),
    );
    if (parts.length > 0) run(plan(session, [], parts));
    compute(
      session,
      others.map(({ pending }) => pending!),
    );
  }
}

/** Takes back what `assign` planned: the tensor waits for `before`, or for nothing. */
export function unassign(target: Tensor, before?: Tensor): void {
  target.pending = before;
  if (before === undefined) sessionOf(target.device).pending.delete(target);
}

/** After so many new values without a step, as running statistics get them, values that wait are computed. */
const maxReassignments = 8;
const reassignments = new WeakMap<Tensor, number>();

/** After so many losses without a step, those and their gradients are computed, so that a loop stays flat. */
const maxLosses = 8;

/** Registers a loss: the next flush computes it and lets go of its graph. */
export function markBackward(root: Tensor): void {
  const session = sessionOf(root.device);
  const { roots, differentiated } = session;
  roots.add(root);
  if (roots.size <= maxLosses || session.capture !== undefined) return;
  compute(session, [...roots, ...waitingGradients(session)]);
  roots.clear();
  differentiated.clear();
}

/** Computes what waits for a step before the step. */
export function compute(session: Session, tensors: readonly Tensor[]): void {
  try {
    realize(tensors);
  } catch (error) {
    throw explained(error, [session], "backward");
  }
}

/**
 * Frees a tensor's memory. What waits for the next step and depends on it (losses, gradients, assigned values) is
 * computed first, so that batches may go while their gradients are still being accumulated.
 */
export function dispose(tensor: Tensor): void {
  const { storage, device } = tensor;
  if (recorder !== undefined && !isRecorded(tensor)) {
    throw new JitError("dispose() inside frees a tensor from outside, which replays would not do");
  }
  const session = sessionOf(device);
  // The next step would fail if it had to compute a loss that is gone, or to write into freed memory.
  tensor.pending = undefined;
  for (const list of [session.pending, session.roots, session.differentiated]) list.delete(tensor);
  try {
    if (storage !== undefined && !storage.disposed && session.capture === undefined) {
      compute(
        session,
        waiting(session).filter((other) => dependsOn(other, storage)),
      );
    }
  } finally {
    storage?.dispose();
    tensor.node = undefined;
    tensor.grad = undefined;
  }
}

/** Lazy tensors that the next step will ask for. */
function waiting(session: Session): Tensor[] {
  const values = [...session.pending].map((tensor) => tensor.pending!);
  return [...values, ...session.roots, ...waitingGradients(session)];
}

function waitingGradients({ differentiated }: Session): Tensor[] {
  return [...differentiated].flatMap(({ grad }) => grad ?? []);
}

function dependsOn(root: Tensor, storage: Storage): boolean {
  const stack = [root];
  const seen = new Set<Tensor>(stack);
  while (stack.length > 0) {
    const { storage: own, node } = stack.pop()!;
    if (own === storage) return true;
    if (own !== undefined || node === undefined) continue;
    for (const input of node.values) {
      if (seen.has(input)) continue;
      seen.add(input);
      stack.push(input);
    }
  }
  return false;
}

/** The values in row-major order, in the dtype's typed array. */
export async function readTensor(tensor: Tensor): Promise<TypedArray> {
  const values = await readPart(tensor);
  if (tensor.dtype !== "float32" || values instanceof Float32Array) return values;
  const result = newArray("float32", values.length);
  result.set(values);
  return result;
}

/**
 * Reads the values with the device's precision: the reference device has float64 where others have float32.
 *
 * @example
 * await readExact(tensor([1, 2])); // [1, 2]
 */
export async function readExact(tensor: Tensor): Promise<TypedArray> {
  return readPart(tensor);
}

/** The same of the elements of `range`. */
export async function readPart(tensor: Tensor, range?: BufferRange): Promise<TypedArray> {
  const { device } = requireTensor("readExact", tensor);
  const session = sessionOf(device);
  if (session.capture !== undefined) {
    throw new JitError("a function given to jit() cannot read values", {
      op: "data",
      hint: "return the tensor and read it outside",
    });
  }
  if (tensor.pending !== undefined) flush(device);
  try {
    realize([tensor]);
  } catch (error) {
    await afterCollection(error, () => realize([tensor]));
  }
  if (tensor.storage === undefined) throw new StaleTensorError("the tensor was disposed", { op: "data" });
  if (session.checks !== undefined) await session.checks();
  const values = await device.read(tensor.storage.buffer, range);
  if (isTurnDue()) await takeTurn();
  return values;
}

/**
 * Memory use of a device, by default the default device.
 *
 * @example
 * const before = memory().liveBuffers;
 * const x = tensor([1, 2]);
 * memory().liveBuffers - before; // 1
 */
export function memory(device: Device = defaultDevice()): MemoryReport {
  return check("memory", "the device", device, aDevice).memory();
}

/**
 * Number of Programs compiled for a device, by default the default device; constant in the steady state of a loop.
 *
 * @example
 * const x = tensor([1, 2]);
 * await add(x, 1).data();
 * const before = compileCount();
 * await add(x, 1).data();
 * compileCount() - before; // 0
 */
export function compileCount(device?: Device): number {
  return sessionOf(deviceOf("compileCount", device)).compiled;
}

/**
 * FLOPs, bytes and number of the Programs run so far on a device, by default the default device.
 *
 * @example
 * const before = totalCost().flops;
 * await add(tensor([1, 2]), 1).data();
 * totalCost().flops - before; // 2
 */
export function totalCost(device: Device = defaultDevice()): {
  readonly flops: number;
  readonly bytes: number;
  readonly runs: number;
} {
  check("totalCost", "the device", device, aDevice);
  return { ...sessionOf(device).total };
}

/** What a Program computes and writes, with memory for its results: nothing has changed yet. */
interface Plan {
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

function plan(session: Session, outputs: readonly Tensor[], assigned: readonly Tensor[]): Plan {
  const bound = graphOf(session, outputs, assigned);
  const compiled = session.compile(bound);
  return { session, bound, compiled, outputs, results: allocateResults(session.device, outputs) };
}

function run({ session, bound, compiled, outputs, results }: Plan): void {
  try {
    session.run(compiled, bound.leaves, results, bound.scalars);
  } catch (error) {
    discard(results);
    throw error;
  }
  settle(session, bound, outputs, results);
}

function discard(results: readonly Storage[]): void {
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
export function settle(
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
