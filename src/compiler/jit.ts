/**
 * jit: records what a function does with its tensors as one Program and replays it with new inputs, without
 * building the graph again. For training steps and token-by-token generation.
 */
import type { Device, WarmupProgress } from "../device/device.js";
import type { Program } from "../device/kernel.js";
import type { DType } from "../tensor/dtype.js";
import { ArgumentError } from "../tensor/errors.js";
import type { RuntimeScalar } from "../tensor/op.js";
import type { Shape } from "../tensor/shape.js";
import type { Storage } from "../tensor/storage.js";
import { currentScope, Tensor } from "../tensor/tensor.js";
import { type BoundGraph, extractGraph } from "./graph.js";
import { type CacheEntry, LruCache } from "./lru_cache.js";
import { allocateResults, flush, realize, settle } from "./realize.js";
import {
  type Capture,
  type CompiledGraph,
  maxProgramBytes,
  maxPrograms,
  type Session,
  sessionOf,
} from "./session.js";

/** What a captured function may return: a tensor, or an array or record of such results, or nothing. */
export type JitResult = Tensor | undefined | readonly JitResult[] | { readonly [name: string]: JitResult };

/** A leaf of the recorded Program: an argument of the call, or memory that stays the same (a parameter). */
type LeafSource = { readonly argument: number } | { readonly storage: Storage };

interface Recording extends CacheEntry {
  readonly compiled: CompiledGraph;
  readonly leaves: readonly LeafSource[];
  readonly scalars: readonly RuntimeScalar[];
  /** Leaves updated in place. */
  readonly changed: readonly number[];
  readonly results: readonly { readonly dtype: DType; readonly shape: Shape }[];
  /** Rebuilds the function's result from this call's arguments and result tensors. */
  readonly rebuild: (args: readonly Tensor[], results: readonly Tensor[]) => JitResult;
  readonly hooks: readonly (() => void)[];
  /** Of the device: memory that is no argument may be gone after a loss, and is made anew with the recording. */
  readonly generation: number;
}

/** A function made by `jit`. */
export interface JitFunction<A extends readonly Tensor[], R extends JitResult> {
  (...args: A): R;
  /**
   * Prepares the device for calls with arguments of these shapes and dtypes, without blocking the thread: where shaders
   * have to be compiled (WebGL2), the first call alone would wait for them. `fn` is recorded for that, but nothing runs:
   * values on the device, step counts and random streams stay as they are. `progress` is told how many shaders of how
   * many are compiled. Resolves at once where nothing is missing, and on devices that compile none.
   *
   * @example
   * await step.warmup([x, y], (done, all) => console.log(`compiling shaders ${done}/${all}`));
   * const loss = step(x, y);
   */
  warmup(args: A, progress?: WarmupProgress): Promise<void>;
  /**
   * The Program recorded for arguments of these shapes and dtypes, with its exact cost; undefined before the first call.
   *
   * @example
   * const { flops, bytes } = step.program(x, y)!.cost;
   */
  program(...args: A): Program | undefined;
}

/**
 * Returns a function that behaves like `fn` but runs `fn` itself only once per combination of argument shapes and
 * dtypes; later calls replay the recorded Program, updates of parameters and optimizer state included. Results are
 * new tensors without gradient history. `fn` must do the same work whenever the shapes are the same: values it
 * computes in plain JavaScript are baked in, except runtime scalars (learning rate, step number, random offsets).
 *
 * @example
 * const step = jit((x: Tensor, y: Tensor) => {
 *   const loss = crossEntropy(model.forward(x), y);
 *   backward(loss);
 *   optimizer.step();
 *   return loss;
 * });
 *
 * @throws ArgumentError if there is no tensor among the arguments and none in the result.
 */
export function jit<A extends readonly Tensor[], R extends JitResult>(
  fn: (...args: A) => R,
): JitFunction<A, R> {
  const recordings = new LruCache<Recording>(maxPrograms, maxProgramBytes);
  const find = (args: A): Recording | undefined => {
    const recording = recordings.get(keyOf(args));
    return recording?.generation === sessionOf(args[0].device).generation ? recording : undefined;
  };
  const keep = (args: A, captured: Captured) => {
    if (!captured.shared) recordings.set(keyOf(args), recordingOf(captured));
  };
  const call = (...args: A): R => {
    if (args.length > 0 && sessionOf(args[0].device).capture !== undefined) return fn(...args);
    const recording = args.length > 0 ? find(args) : undefined;
    if (recording !== undefined) {
      const leaves = leavesOf(recording, args);
      if (!updatesShared(leaves, recording.changed)) return replay(recording, leaves, args) as R;
    }
    const captured = capture(fn, args);
    const results = run(captured);
    keep(args, captured);
    return captured.rebuild(args, results) as R;
  };
  const warmup = async (args: A, progress?: WarmupProgress): Promise<void> => {
    const device = args[0]?.device;
    if (device?.warmup === undefined) return;
    let compiled = find(args)?.compiled;
    if (compiled === undefined) {
      const captured = capture(fn, args);
      takeBack(captured);
      keep(args, captured);
      ({ compiled } = captured);
    }
    await device.warmup(sessionOf(device).executable(compiled), progress);
  };
  const program = (...args: A) => recordings.get(keyOf(args))?.compiled.program;
  return Object.assign(call, { warmup, program });
}

/** While a profile is taken, functions are recorded anew, with the modules that their calls belong to. */
function keyOf(args: readonly Tensor[]): string {
  const shapes = args.map(({ dtype, shape }) => `${dtype}${shape}`).join(";");
  return currentScope() === undefined ? shapes : `profiled;${shapes}`;
}

let current: Capture | undefined;

/** Registers, while a jit function is being captured, what has to happen before each of its replays. */
export function onReplay(hook: () => void): void {
  current?.hooks.push(hook);
}

/**
 * Registers, while a jit function is being captured, what takes back that it was called: done, the latest first, if
 * the capture was for a warm-up or fails. For state outside the device that the function advances.
 */
export function onUndo(undo: () => void): void {
  current?.undos.push(undo);
}

/** One call of a function, recorded and prepared but not run. */
interface Captured {
  readonly session: Session;
  readonly bound: BoundGraph;
  readonly compiled: CompiledGraph;
  readonly outputs: readonly Tensor[];
  readonly assigned: readonly Tensor[];
  /** The arguments, as the function got them. */
  readonly own: readonly Tensor[];
  /** Leaves updated in place. */
  readonly changed: readonly number[];
  /** It holds for this call only: an argument is memory that it updates by another way as well. */
  readonly shared: boolean;
  readonly rebuild: Recording["rebuild"];
  readonly capture: Capture;
}

function capture<A extends readonly Tensor[]>(fn: (...args: A) => JitResult, args: A): Captured {
  const device = args[0]?.device;
  if (device === undefined)
    throw new ArgumentError("the function needs at least one tensor argument", { op: "jit" });
  const session = sessionOf(device);
  realize(args);
  flush(device);
  // Handles of this call alone: a tensor may be given twice, or be used by the function besides.
  const own = args.map((tensor) => (tensor.requiresGrad ? tensor : sharing(tensor)));
  const capture: Capture = { hooks: [], undos: [] };
  session.capture = capture;
  current = capture;
  let result: JitResult;
  try {
    result = fn(...(own as unknown as A));
  } catch (error) {
    takeBack({ session, capture });
    throw error;
  } finally {
    session.capture = undefined;
    current = undefined;
  }
  const returned = tensorsIn(result);
  const outputs = [...new Set(returned.filter((tensor) => tensor.storage === undefined && !tensor.pending))];
  const assigned = [...session.pending];
  let bound = extractGraph(outputs, assigned, new Set(own));
  const changed = bound.graph.assignments.map(({ leaf }) => leaf);
  const shared = updatesShared(bound.leaves, changed);
  // What is read through one tensor and updated through another is the same leaf in this call, but not in others.
  if (shared) bound = extractGraph(outputs, assigned);
  const compiled = session.compile(bound);
  const rebuild = rebuilder(result, own, outputs);
  return { session, bound, compiled, outputs, assigned, own, changed, shared, rebuild, capture };
}

/** Nothing that the captured call had planned or advanced is left behind. */
function takeBack({ session, capture }: Pick<Captured, "session" | "capture">): void {
  for (const undo of capture.undos.toReversed()) undo();
  session.abandon();
}

/** Runs the captured call itself; its results. */
function run({ session, bound, compiled, outputs, assigned }: Captured): readonly Tensor[] {
  const results = allocateResults(session.device, outputs);
  session.run(compiled, bound.leaves, results, bound.scalars);
  settle(session, bound, outputs, results, assigned);
  for (const tensor of outputs) {
    tensor.node = undefined;
    tensor.requiresGrad = false;
  }
  session.roots.clear();
  session.differentiated.clear();
  return outputs;
}

function recordingOf({
  session,
  bound,
  compiled,
  outputs,
  own,
  changed,
  rebuild,
  capture,
}: Captured): Recording {
  return {
    compiled,
    bytes: compiled.bytes,
    used: 0,
    leaves: bound.leaves.map((storage, leaf) => {
      const argument = own.indexOf(bound.owners[leaf]);
      return argument < 0 ? { storage } : { argument };
    }),
    scalars: bound.scalars,
    changed,
    results: outputs.map(({ dtype, shape }) => ({ dtype, shape })),
    rebuild,
    hooks: capture.hooks,
    generation: session.generation,
  };
}

/** Another handle to the same memory. */
function sharing({ shape, dtype, device, storage }: Tensor): Tensor {
  return new Tensor(shape, dtype, device, { storage: storage! });
}

/** Whether memory that one leaf updates is another leaf's too: a Program takes leaves for different buffers. */
function updatesShared(leaves: readonly Storage[], changed: readonly number[]): boolean {
  // At every replay: mostly all leaves differ, which costs one pass to see.
  if (new Set(leaves).size === leaves.length) return false;
  return changed.some((leaf) => leaves.indexOf(leaves[leaf]) !== leaves.lastIndexOf(leaves[leaf]));
}

function leavesOf(recording: Recording, args: readonly Tensor[]): Storage[] {
  realize(args);
  return recording.leaves.map((source) =>
    "storage" in source ? source.storage : args[source.argument].storage!,
  );
}

function replay(recording: Recording, leaves: readonly Storage[], args: readonly Tensor[]): JitResult {
  const device: Device = args[0].device;
  const session = sessionOf(device);
  if (session.pending.size + session.roots.size > 0) flush(device);
  for (const hook of recording.hooks) hook();
  const storages = allocateResults(device, recording.results);
  session.run(recording.compiled, leaves, storages, recording.scalars);
  for (const leaf of recording.changed) leaves[leaf].noteChange();
  const results = recording.results.map(
    ({ dtype, shape }, i) => new Tensor(shape, dtype, device, { storage: storages[i] }),
  );
  return recording.rebuild(args, results);
}

function tensorsIn(result: JitResult): Tensor[] {
  if (result === undefined) return [];
  if (result instanceof Tensor) return [result];
  return Object.values(result).flatMap(tensorsIn);
}

function rebuilder(
  result: JitResult,
  args: readonly Tensor[],
  outputs: readonly Tensor[],
): Recording["rebuild"] {
  if (result === undefined) return () => undefined;
  if (result instanceof Tensor) {
    const output = outputs.indexOf(result);
    if (output >= 0) return (_, results) => results[output];
    const argument = args.indexOf(result);
    return argument >= 0 ? (now) => now[argument] : () => result;
  }
  if (Array.isArray(result)) {
    const parts = result.map((part: JitResult) => rebuilder(part, args, outputs));
    return (now, results) => parts.map((part) => part(now, results));
  }
  const entries = Object.entries(result).map(
    ([name, part]) => [name, rebuilder(part, args, outputs)] as const,
  );
  return (now, results) => Object.fromEntries(entries.map(([name, part]) => [name, part(now, results)]));
}
