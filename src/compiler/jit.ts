/**
 * jit: records what a function does with its tensors as one Program and replays it with new inputs, without
 * building the graph again. For training steps and token-by-token generation.
 */
import type { Device, Executable } from "../device/device.js";
import type { Program } from "../device/kernel.js";
import type { DType } from "../tensor/dtype.js";
import { ArgumentError } from "../tensor/errors.js";
import type { RuntimeScalar } from "../tensor/op.js";
import type { Shape } from "../tensor/shape.js";
import type { Storage } from "../tensor/storage.js";
import { currentScope, Tensor } from "../tensor/tensor.js";
import { extractGraph } from "./graph.js";
import { allocateResults, flush, realize, settle } from "./realize.js";
import { type Capture, sessionOf } from "./session.js";

/** What a captured function may return: a tensor, or an array or record of such results, or nothing. */
export type JitResult = Tensor | undefined | readonly JitResult[] | { readonly [name: string]: JitResult };

/** A leaf of the recorded Program: an argument of the call, or memory that stays the same (a parameter). */
type LeafSource = { readonly argument: number } | { readonly storage: Storage };

interface Recording {
  readonly executable: Executable;
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
  const recordings = new Map<string, Recording>();
  const call = (...args: A): R => {
    if (args.length > 0 && sessionOf(args[0].device).capture !== undefined) return fn(...args);
    const key = keyOf(args);
    const recording = recordings.get(key);
    if (recording !== undefined && recording.generation === sessionOf(args[0].device).generation) {
      const leaves = leavesOf(recording, args);
      if (!updatesShared(leaves, recording.changed)) return replay(recording, leaves, args) as R;
    }
    return record(fn, args, (made) => recordings.set(key, made)) as R;
  };
  return Object.assign(call, {
    program: (...args: A) => recordings.get(keyOf(args))?.executable.program,
  });
}

/** What `jit` returns. */
export type JitFunction<A extends readonly Tensor[], R extends JitResult> = ((...args: A) => R) & {
  /**
   * The Program recorded for arguments of these shapes and dtypes, with its exact cost; undefined before the first call.
   *
   * @example
   * const { flops, bytes } = step.program(x, y)!.cost;
   */
  program(...args: A): Program | undefined;
};

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

function record<A extends readonly Tensor[]>(
  fn: (...args: A) => JitResult,
  args: A,
  keep: (recording: Recording) => void,
): JitResult {
  const device = args[0]?.device;
  if (device === undefined)
    throw new ArgumentError("the function needs at least one tensor argument", { op: "jit" });
  const session = sessionOf(device);
  realize(args);
  flush(device);
  // Handles of this call alone: a tensor may be given twice, or be used by the function besides.
  const own = args.map((tensor) => (tensor.requiresGrad ? tensor : sharing(tensor)));
  const capture: Capture = { hooks: [] };
  session.capture = capture;
  current = capture;
  let result: JitResult;
  try {
    result = fn(...(own as unknown as A));
  } catch (error) {
    // Nothing it had planned is left behind.
    session.abandon();
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
  const executable = session.executable(bound);
  const results = allocateResults(device, outputs);
  session.run(executable, bound.leaves, results, bound.scalars);
  settle(session, bound, outputs, results, assigned);
  for (const tensor of outputs) {
    tensor.node = undefined;
    tensor.requiresGrad = false;
  }
  session.roots.clear();
  session.differentiated.clear();

  const rebuild = rebuilder(result, own, outputs);
  if (!shared) {
    keep({
      executable,
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
    });
  }
  return rebuild(args, outputs);
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
  session.run(recording.executable, leaves, storages, recording.scalars);
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
