/**
 * jit: records the graph of a function once as a Program and replays the Program with new inputs, without calling the function.
 * For training steps and token-by-token generation.
 */

import { ArgumentError, DeviceError, JitError } from "../core/errors.js";
import type { Device, WarmupProgress } from "../device/device.js";
import { recorder } from "../graph/observe.js";
import type { SourceOp } from "../graph/op.js";
import { scopeKey } from "../graph/scope.js";
import { createNode, isGradEnabled, type Tensor } from "../graph/tensor.js";
import type { Program } from "../kernels/kernel.js";
import { type Captured, capture, revertCapture } from "./capture.js";
import { flush } from "./commit.js";
import { guardsHold } from "./guards.js";
import { CheckedCapture } from "./jit_check.js";
import { type CacheEntry, LruCache } from "./lru_cache.js";
import { isDebugging, realize } from "./realize.js";
import { leavesOf, type Recording, recordingOf, replay, run } from "./recording.js";
import { type CompiledGraph, maxProgramBytes, maxPrograms, type Session, sessionOf } from "./session.js";
import {
  type Arguments,
  type Given,
  type JitArgument,
  type JitResult,
  mapArguments,
  readArguments,
} from "./structure.js";

/** A function made by `jit`. */
export interface JitFunction<A extends readonly unknown[], R extends JitResult> {
  (...args: A): R;
  (...args: Given<A>): R;
  /**
   * Prepares the device for calls with arguments of these shapes and dtypes without blocking the thread: on WebGL2 the first call would
   * otherwise wait for shaders to compile. `fn` is recorded but nothing runs: values on the device, step counts and random streams do
   * not change. `progress` is called with the number of compiled shaders and of all shaders. Resolves at once if nothing has to be
   * compiled.
   */
  warmup(args: Given<A>, progress?: WarmupProgress): Promise<void>;
  /**
   * The Program recorded for arguments of these shapes and dtypes in the current modes; undefined before the first call.
   * `programCost` of wattgrad/profile tells what it costs.
   */
  program(...args: Given<A>): Program | undefined;
}

/** Options of `jit`. */
export interface JitOptions {
  /**
   * The second call with a recording runs `fn` once more and compares the graphs, which finds values that plain JavaScript computes
   * anew. Default: only in the debug mode (`setDebug`).
   */
  readonly check?: boolean;
}

/** Maximum number of recordings per key, with different guards; the oldest is dropped. */
const maxVariants = 8;

interface Entry extends Recording {
  /** The graph to compare with in the second call; undefined afterwards. */
  checked: CheckedCapture | undefined;
}

/** The recordings with one key, latest first. */
interface Variants extends CacheEntry {
  readonly entries: readonly Entry[];
}

/**
 * Returns a function that behaves like `fn` but runs `fn` only when its graph could differ; other calls replay a recorded Program,
 * with the updates of parameters, gradients, optimizer state, learning-rate schedules and random streams. A recording is reused for
 * calls with equal shapes, dtypes and structure of the arguments, `training` and fields of the modules whose `forward` runs, gradient
 * mode, `requiresGrad`, existing gradients, optimizer settings and profile scope. Results are new tensors without gradient history.
 *
 * Arguments are tensors of one device, numbers, booleans, strings, null, and arrays and records of them. A number is a rank-0 float32
 * tensor inside (`x.mul(t)`), so that other numbers recompile nothing; another boolean or string is recorded anew. Numbers, strings
 * and booleans in a result are those of the recorded call. Values that `fn` computes in plain JavaScript are computed only while
 * recording; `check` detects where that matters.
 *
 * @example
 * const model = new Linear(1, 1);
 * const optimizer = new SGD(model.parameters(), { lr: 0.1 });
 * const step = jit((x: Tensor, y: Tensor) => {
 *   const loss = mseLoss(model.forward(x), y);
 *   backward(loss);
 *   optimizer.step();
 *   return loss;
 * });
 * const [x, y] = [tensor([[1]]), tensor([[2]])];
 * for (let i = 0; i < 50; i++) step(x, y);
 * (await step(x, y).item()) < 0.01; // true
 *
 * @throws ArgumentError for other arguments, DeviceError for several devices. JitError for what cannot be replayed: an
 * async function, a result that is not a structure of tensors, module fields set inside, parameters and buffers made inside.
 */
export function jit<A extends readonly Tensor[], R extends JitResult>(
  fn: (...args: A) => R,
  options?: JitOptions,
): JitFunction<A, R>;
export function jit<A extends readonly JitArgument[], R extends JitResult>(
  fn: (...args: A) => R,
  options?: JitOptions,
): JitFunction<A, R>;
export function jit(fn: Fn, options: JitOptions = {}): unknown {
  const jitted = new Jitted(fn, options);
  return Object.assign((...args: unknown[]) => jitted.call(args), {
    warmup: (args: readonly unknown[], progress?: WarmupProgress) => jitted.warmup(args, progress),
    program: (...args: unknown[]) => jitted.program(args),
  });
}

type Fn = (...args: never[]) => JitResult;

class Jitted {
  readonly #fn: Fn;
  readonly #options: JitOptions;
  readonly #recordings = new LruCache<Variants>(maxPrograms, maxProgramBytes);

  constructor(fn: Fn, options: JitOptions) {
    this.#fn = fn;
    this.#options = options;
  }

  call(values: readonly unknown[]): JitResult {
    const args = readArguments(values);
    const session = sessionFor(args);
    if (recorder !== undefined) return this.#inline(args, session);
    prepare(args, session);
    const entry = this.#find(args, session);
    if (entry !== undefined) {
      const leaves = leavesOf(entry, args.tensors);
      if (leaves !== undefined) {
        if (entry.checked !== undefined) this.#check(entry, args);
        return replay(entry, leaves, args);
      }
    }
    const [captured, compiled] = this.#record(args, session);
    return run(captured, compiled, args.tensors);
  }

  async warmup(values: readonly unknown[], progress?: WarmupProgress): Promise<void> {
    const args = readArguments(values);
    const session = sessionFor(args);
    const { device } = session;
    if (device.warmup === undefined) return;
    prepare(args, session);
    let compiled = this.#find(args, session)?.compiled;
    if (compiled === undefined) {
      const [captured, made] = this.#record(args, session);
      revertCapture(captured);
      compiled = made;
    }
    await device.warmup(session.executable(compiled), progress);
  }

  program(values: readonly unknown[]): Program | undefined {
    const args = readArguments(values);
    return this.#find(args, sessionFor(args))?.compiled.program;
  }

  /** Called inside another jit function: becomes a part of its recording. */
  #inline(args: Arguments, session: Session): JitResult {
    if (session.capture === undefined) {
      throw new JitError(
        "a jit function is called inside another one whose arguments live on another device",
      );
    }
    const inside = (value: unknown) =>
      mapArguments(
        value,
        (tensor) => tensor,
        (number) => constant(number, session.device),
      );
    return this.#fn(...(args.values.map(inside) as never[]));
  }

  #find(args: Arguments, session: Session): Entry | undefined {
    const variants = this.#recordings.get(keyOf(args));
    if (variants === undefined) return undefined;
    for (const entry of variants.entries) {
      if (entry.session === session && isOfNow(entry) && guardsHold(entry.guards, args.tensors)) return entry;
    }
    return undefined;
  }

  #store(key: string, entries: readonly Entry[]): void {
    const bytes = entries.reduce((sum, { compiled }) => sum + compiled.bytes, 0);
    this.#recordings.set(key, { entries, bytes, used: 0 });
  }

  /** Captures a call and stores its recording, unless it is valid for this call only. */
  #record(args: Arguments, session: Session): [Captured, CompiledGraph] {
    const captured = capture(this.#fn, args);
    try {
      const compiled = session.compile(captured.bound);
      if (!captured.shared) {
        const checked = this.#isChecking() ? new CheckedCapture(captured) : undefined;
        const entry = { ...recordingOf(captured, compiled), checked };
        const key = keyOf(args);
        const others = this.#recordings.get(key)?.entries ?? [];
        this.#store(key, [entry, ...others.filter(isOfNow)].slice(0, maxVariants));
      }
      return [captured, compiled];
    } catch (error) {
      revertCapture(captured);
      throw error;
    }
  }

  #isChecking(): boolean {
    return this.#options.check ?? isDebugging();
  }

  /** @throws JitError if the function now builds a different graph; the recording is dropped. */
  #check(entry: Entry, args: Arguments): void {
    const again = capture(this.#fn, args);
    revertCapture(again);
    const difference = entry.checked!.differenceTo(again);
    entry.checked = undefined;
    if (difference === undefined) return;
    const key = keyOf(args);
    const others = this.#recordings.get(key)?.entries ?? [];
    this.#store(
      key,
      others.filter((other) => other !== entry),
    );
    throw difference;
  }
}

/** Whether its device was not lost since. */
function isOfNow({ session, generation }: Entry): boolean {
  return session.generation === generation;
}

/** @throws ArgumentError without a tensor, DeviceError for several devices. */
function sessionFor({ tensors }: Arguments): Session {
  if (tensors.length === 0) {
    throw new ArgumentError("the function needs at least one tensor argument", { op: "jit" });
  }
  const { device } = tensors[0];
  for (const tensor of tensors) {
    if (tensor.device === device) continue;
    throw new DeviceError(`arguments live on ${device.name} and ${tensor.device.name}`, {
      op: "jit",
      hint: "move one with .to(device)",
    });
  }
  return sessionOf(device);
}

/** Realizes the arguments, pending gradients and pending updates, so that a replay starts from values in memory. */
function prepare({ tensors }: Arguments, { device, pending, roots, differentiated }: Session): void {
  realize(tensors);
  if (pending.size + roots.size + differentiated.size === 0) return;
  const gradients = [...differentiated].flatMap(({ grad }) => grad ?? []);
  if (gradients.some(({ storage }) => storage === undefined)) realize([...gradients, ...roots]);
  flush(device);
}

/** The key of a call's recordings. Other conditions are in the guards. */
function keyOf({ key }: Arguments): string {
  return `${isGradEnabled() ? "" : "noGrad;"}${scopeKey()}${key}`;
}

const constantOp: SourceOp = { kind: "source", name: "constant", source: "constant" };

function constant(value: number, device: Device): Tensor {
  return createNode(constantOp, [], { value }, [], "float32", device);
}
