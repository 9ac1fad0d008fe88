/**
 * jit: records the graph of a function once as a Program and replays the Program with new inputs, without calling the function.
 * For training steps and token-by-token generation.
 *
 * A call looks up a recording by the structure of its arguments (`keyOf`) and the recording's guards (guards.ts). If none is valid, the
 * function is captured (capture.ts): it runs on handles in place of the arguments, which builds a graph and registers side effects, and
 * the graph is compiled. recording.ts replays a recording. A jit function inside a captured one is part of the outer graph.
 */

import { ArgumentError, DeviceError, JitError } from "../core/errors.js";
import type { Device, WarmupProgress } from "../device/device.js";
import { recorder } from "../graph/observe.js";
import type { SourceOp } from "../graph/op.js";
import { scopeKey } from "../graph/scope.js";
import { createNode, isGradEnabled, type Tensor } from "../graph/tensor.js";
import type { Program } from "../kernels/kernel.js";
import { type Captured, capture, revertCapture } from "./capture.js";
import { commit } from "./commit.js";
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
   * `programCost` of wattgrad/profile counts its FLOPs and bytes.
   */
  program(...args: Given<A>): Program | undefined;
}

/** Options of `jit`. */
export interface JitOptions {
  /**
   * The first replay of a recording also runs `fn` once more and compares the graphs. This detects values that plain JavaScript computes
   * differently in each call. Default: only in the debug mode (`setDebug`).
   */
  readonly check?: boolean;
}

/** Maximum number of recordings per key, which differ in their guards; the oldest is dropped. */
const maxVariants = 8;

interface Entry extends Recording {
  /** For `check`: the recorded graph, to compare with at the first replay; undefined afterwards. */
  checked: CheckedCapture | undefined;
}

/** The recordings of one key, latest first. */
interface Variants extends CacheEntry {
  readonly entries: readonly Entry[];
}

/**
 * Returns a function that behaves like `fn` but runs `fn` only when its graph could differ; other calls replay a recorded Program,
 * with the updates of parameters, gradients, optimizer state, learning-rate schedules and random streams. A recording is reused for
 * calls with equal shapes, dtypes and structure of the arguments, `training` and fields of the modules whose `forward` runs, gradient
 * mode, `requiresGrad`, existing gradients, optimizer settings and profile scope. Results are new tensors without gradient history.
 *
 * Arguments are tensors of one device, numbers, booleans, strings, null, and arrays and records of them. `fn` receives a number as a
 * rank-0 float32 tensor (`x.mul(t)`), so that a new number recompiles nothing; a new boolean or string makes a new recording. Numbers,
 * strings and booleans in a result are constants of the recording. Values that `fn` computes in plain JavaScript are computed only while
 * recording; `check` detects recordings that this makes wrong.
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
 * @throws ArgumentError for other arguments, DeviceError for several devices. JitError for a function that cannot be replayed: it is
 * async, its result is not a structure of tensors, it sets fields of modules, or it makes parameters or buffers.
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

  /** A call inside another jit function: `fn` adds to the outer graph. */
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
      if (entry.session !== session || !isCurrent(entry)) continue;
      if (guardsHold(entry.guards, args.tensors)) return entry;
    }
    return undefined;
  }

  #store(key: string, entries: readonly Entry[]): void {
    const bytes = entries.reduce((sum, { compiled }) => sum + compiled.bytes, 0);
    this.#recordings.set(key, { entries, bytes, used: 0 });
  }

  /** Captures a call and compiles it. Stores the recording, unless aliased arguments make it valid for this call only. */
  #record(args: Arguments, session: Session): [Captured, CompiledGraph] {
    const captured = capture(this.#fn, args);
    try {
      const compiled = session.compile(captured.bound);
      if (!captured.isAliased) {
        const checked = this.#isChecking() ? new CheckedCapture(captured) : undefined;
        const entry = { ...recordingOf(captured, compiled), checked };
        const key = keyOf(args);
        const others = this.#recordings.get(key)?.entries ?? [];
        this.#store(key, [entry, ...others.filter(isCurrent)].slice(0, maxVariants));
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

/** Whether the device was not lost since the recording: a loss invalidates the memory that recordings refer to. */
function isCurrent({ session, generation }: Entry): boolean {
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

/** Computes the arguments, gradients and assignments that are still lazy, so that a recording reads values in memory. */
function prepare({ tensors }: Arguments, session: Session): void {
  const { device, pending, roots, differentiated } = session;
  realize(tensors);
  if (pending.size + roots.size + differentiated.size === 0) return;
  const { gradients } = session;
  if (gradients.some(({ storage }) => storage === undefined)) realize([...gradients, ...roots]);
  commit(device);
}

/** The key of a call's recordings: argument structure, gradient mode and profile scope. All other conditions are guards. */
function keyOf({ key }: Arguments): string {
  return `${isGradEnabled() ? "" : "noGrad;"}${scopeKey()}${key}`;
}

const constantOp: SourceOp = { kind: "source", name: "constant", source: "constant" };

function constant(value: number, device: Device): Tensor {
  return createNode(constantOp, [], { value }, [], "float32", device);
}
