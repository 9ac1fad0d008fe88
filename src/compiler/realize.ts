/**
 * Realizing: cuts the lazy graph at the buffers that exist, compiles the part above the cut (or finds its
 * Program) and runs it. Everything that turns recipes into values goes through here.
 */
import type { Device, MemoryReport, WarmupProgress } from "../device/device.js";
import { type DType, newArray, type TypedArray } from "../tensor/dtype.js";
import { DeviceError, DTypeError, ShapeError, StaleTensorError, WattgradError } from "../tensor/errors.js";
import { afterCollection, isTurnDue, nextTurn } from "../tensor/event_loop.js";
import { formatShape, type Shape, sameShape, sizeOf } from "../tensor/shape.js";
import { Storage } from "../tensor/storage.js";
import { currentValue, observeNodes, Tensor } from "../tensor/tensor.js";
import { type BoundGraph, extractGraph } from "./graph.js";
import { type Session, sessionOf } from "./session.js";

/** A graph deeper than this realizes itself, so that a loop that never reads anything stays flat. */
const maxDepth = 4096;

/** Set by the debug mode: called for every new node, before anything else sees it. */
let debugObserver: ((tensor: Tensor) => void) | undefined;

export function setDebugObserver(observer: ((tensor: Tensor) => void) | undefined): void {
  debugObserver = observer;
}

observeNodes((tensor) => {
  if (tensor.node!.depth > maxDepth && sessionOf(tensor.device).capture === undefined) realize([tensor]);
  debugObserver?.(tensor);
});

/**
 * Uploads host data into a new leaf tensor. `data` has `sizeOf(shape)` elements and may be reused at once. `inFull`: float32 stays
 * so where the device would round it, if it can.
 */
export function leaf(
  device: Device,
  dtype: DType,
  shape: Shape,
  data: TypedArray,
  { inFull = false }: { readonly inFull?: boolean } = {},
): Tensor {
  if (data.length !== sizeOf(shape)) {
    throw new ShapeError(`${data.length} elements given for shape ${formatShape(shape)}`, { op: "tensor" });
  }
  const buffer = sessionOf(device).withMemory(() => device.allocate(dtype, data.length));
  const tensor = new Tensor(shape, dtype, device, { storage: new Storage(device, buffer) });
  if (inFull) keepInFull(tensor);
  device.write(buffer, data);
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

/** Overwrites a tensor's memory with host data of the same length, at once; lazy tensors built on it go stale. */
export function overwrite(tensor: Tensor, data: TypedArray): void {
  flush(tensor.device);
  if (data.length !== tensor.size || tensor.storage === undefined) {
    throw new ShapeError(`${data.length} elements given for shape ${formatShape(tensor.shape)}`, {
      op: "overwrite",
    });
  }
  tensor.device.write(tensor.storage.buffer, data);
  tensor.storage.noteChange();
}

/** Computes lazy tensors now, one Program per device. Tensors that have memory already are left alone. */
export function realize(tensors: readonly Tensor[]): void {
  for (const [device, list] of lazyByDevice(tensors)) execute(sessionOf(device), list, []);
}

/** Those without memory, each once, by their devices. */
function lazyByDevice(tensors: readonly Tensor[]): Map<Device, Tensor[]> {
  const byDevice = new Map<Device, Tensor[]>();
  for (const tensor of tensors) {
    const value = currentValue(tensor);
    if (value.storage !== undefined) continue;
    const list = byDevice.get(value.device);
    if (list === undefined) byDevice.set(value.device, [value]);
    else if (!list.includes(value)) list.push(value);
  }
  return byDevice;
}

/**
 * Prepares the device for `realize(tensors)` (or reading them) without blocking the thread, and computes nothing: where
 * shaders have to be compiled (WebGL2), the first such call alone would wait for them. Other tensors of the same
 * structure profit as well. `progress` is told how many shaders of how many are compiled.
 *
 * @example
 * const output = model.forward(input);
 * await warmup([output], (done, all) => console.log(`compiling shaders ${done}/${all}`));
 * console.log(await output.tolist());
 */
export async function warmup(tensors: readonly Tensor[], progress?: WarmupProgress): Promise<void> {
  for (const [device, list] of lazyByDevice(tensors)) {
    if (device.warmup === undefined) continue;
    const session = sessionOf(device);
    await device.warmup(session.executable(session.compile(extractGraph(list, []))), progress);
  }
}

/**
 * Realizes every pending assignment and every loss that backward() was called on, as one Program: what
 * `optimizer.step()` does. While a jit function is being captured, that waits for the capture's end.
 */
export function flush(device: Device): void {
  const session = sessionOf(device);
  if (session.capture !== undefined) return;
  const roots = [...session.roots].filter((root) => root.storage === undefined);
  const assigned = [...session.pending];
  if (roots.length + assigned.length > 0) execute(session, roots, assigned);
  for (const root of session.roots) root.node = undefined;
  session.roots.clear();
  session.differentiated.clear();
}

/** A new value for a leaf tensor, written in place by the next flush; ops built from now on see it. */
export function assign(target: Tensor, value: Tensor): void {
  const details = { op: "assign", device: target.device.name };
  if (!sameShape(target.shape, value.shape)) {
    throw new ShapeError(
      `shapes differ, ${formatShape(target.shape)} and ${formatShape(value.shape)}`,
      details,
    );
  }
  if (target.dtype !== value.dtype)
    throw new DTypeError(`${value.dtype} given for a ${target.dtype} tensor`, details);
  // At once: the step that writes the value would fail for everything else that waits with it.
  if (target.storage?.disposed) throw new StaleTensorError("the tensor was disposed", details);
  if (target.storage === undefined) {
    if (target.node === undefined) throw new StaleTensorError("the tensor was disposed", details);
    realize([target]);
    target.node = undefined;
  }
  const session = sessionOf(target.device);
  const reassigned = target.pending === undefined ? 0 : (reassignments.get(target) ?? 0) + 1;
  target.pending = currentValue(value);
  session.pending.add(target);
  reassignments.set(target, reassigned);
  if (reassigned > maxReassignments && session.capture === undefined) {
    realize([...session.pending].map(({ pending }) => pending!));
    for (const tensor of session.pending) reassignments.delete(tensor);
  }
}

/** After so many new values without a step, as running statistics get them, values that wait are computed. */
const maxReassignments = 8;
const reassignments = new WeakMap<Tensor, number>();

/** Registers a loss and what it was differentiated by: the next flush computes the loss and lets go of its graph. */
export function markBackward(root: Tensor, leaves: readonly Tensor[] = []): void {
  const { roots, differentiated } = sessionOf(root.device);
  roots.add(root);
  for (const leaf of leaves) differentiated.add(leaf);
}

/**
 * Frees a tensor's memory. What waits for the next step and depends on it (losses, gradients, assigned values) is
 * computed first, so that batches may go while their gradients are still being accumulated.
 */
export function dispose(tensor: Tensor): void {
  const { storage, device } = tensor;
  const session = sessionOf(device);
  // The next step would fail if it had to compute a loss that is gone, or to write into freed memory.
  tensor.pending = undefined;
  for (const list of [session.pending, session.roots, session.differentiated]) list.delete(tensor);
  try {
    if (storage !== undefined && !storage.disposed && session.capture === undefined) {
      realize(waiting(session).filter((other) => dependsOn(other, storage)));
    }
  } finally {
    storage?.dispose();
    tensor.node = undefined;
    tensor.grad = undefined;
  }
}

/** Lazy tensors that the next step will ask for. */
function waiting({ pending, roots, differentiated }: Session): Tensor[] {
  const values = [...pending].map((tensor) => tensor.pending!);
  const gradients = [...differentiated].flatMap(({ grad }) => grad ?? []);
  return [...values, ...roots, ...gradients];
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
  const values = await readExact(tensor);
  if (tensor.dtype !== "float32" || values instanceof Float32Array) return values;
  const result = newArray("float32", values.length);
  result.set(values);
  return result;
}

/** The values as the device holds them: the reference device has float64 where others have float32. */
export async function readExact(tensor: Tensor): Promise<TypedArray> {
  const { device } = tensor;
  const session = sessionOf(device);
  if (session.capture !== undefined) {
    throw new WattgradError("CAPTURE", "a function given to jit() cannot read values", {
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
  const values = await device.read(tensor.storage.buffer);
  if (isTurnDue()) await nextTurn();
  return values;
}

/** Live buffers and bytes on a device. */
export function memory(device: Device): MemoryReport {
  return device.memory();
}

/** How many Programs the device has had compiled; constant in the steady state of a loop. */
export function compileCount(device: Device): number {
  return sessionOf(device).compiled;
}

/** FLOPs, bytes and number of the Programs run on a device so far. */
export function totalCost(device: Device): {
  readonly flops: number;
  readonly bytes: number;
  readonly runs: number;
} {
  return { ...sessionOf(device).total };
}

function execute(session: Session, outputs: readonly Tensor[], assigned: readonly Tensor[]): void {
  const bound = extractGraph(outputs, assigned);
  const compiled = session.compile(bound);
  const results = allocateResults(session.device, outputs);
  session.run(compiled, bound.leaves, results, bound.scalars);
  settle(session, bound, outputs, results, assigned);
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
    for (const storage of results) storage.dispose();
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
  assigned: readonly Tensor[],
): void {
  outputs.forEach((tensor, i) => {
    tensor.storage = results[i];
    if (!tensor.requiresGrad) tensor.node = undefined;
  });
  for (const { leaf } of bound.graph.assignments) bound.leaves[leaf].noteChange();
  for (const tensor of assigned) {
    tensor.pending = undefined;
    session.pending.delete(tensor);
  }
}
