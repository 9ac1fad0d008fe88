/** The runtime's state per device: compiled Programs, pending assignments, losses to realize. */

import { type CompileOptions, compile } from "../compiler/compile.js";
import type { BoundGraph } from "../compiler/graph.js";
import { OutOfMemoryError } from "../core/errors.js";
import type { Device, DeviceBuffer, Executable } from "../device/device.js";
import type { RuntimeScalar } from "../graph/op.js";
import { noteChanges, type Storage } from "../graph/storage.js";
import type { Tensor } from "../graph/tensor.js";
import type { Program } from "../kernels/kernel.js";
import { type CacheEntry, LruCache } from "./lru_cache.js";

/** Bounds of a cache of Programs: a training step of a 12-layer GPT takes 3 MB. */
export const maxPrograms = 512;
export const maxProgramBytes = 256 * 1024 * 1024;

/** Heap of a Program, its key included: 2.2 kB a call on average (measured with training and forward passes of a GPT). */
const bytesPerCall = 2304;

/** A graph's Program. The session prepares it for the device when it runs, and releases it when it is evicted from the cache. */
export interface CompiledGraph extends CacheEntry {
  readonly key: string;
  readonly program: Program;
  /** Undefined while it is not prepared. */
  executable: Executable | undefined;
}

export class Session {
  readonly device: Device;
  /** Tensors with a pending value. */
  readonly pending = new Set<Tensor>();
  /** Losses on which backward() was called since the last commit. */
  readonly roots = new Set<Tensor>();
  /** Tensors that got a `.grad` since the last commit. */
  readonly differentiated = new Set<Tensor>();
  /** Called if the next Program fails on a device that reports failures at once, to revert step counts. */
  readonly ifFails: (() => void)[] = [];
  /** Identifies the jit capture in progress; undefined if there is none. */
  capture: object | undefined;
  /** Number of Programs compiled so far. */
  compiled = 0;
  /** Set by the debug mode: waits for the checks of the ops run so far. */
  checks: (() => Promise<void>) | undefined;
  /** Called with every Program before it runs, while costs are counted or a profile is recorded. */
  readonly observers = new Set<
    (program: Program, scalars: readonly number[], buffers: readonly DeviceBuffer[]) => void
  >();
  compileOptions: CompileOptions = { enabled: true };
  readonly #compiled = new LruCache<CompiledGraph>(maxPrograms, maxProgramBytes, (compiled) => {
    this.device.release(compiled.executable!);
    compiled.executable = undefined;
  });

  constructor(device: Device) {
    this.device = device;
    // Pending work was built on lost values; ops must not read it when the device is back.
    device.recovery?.register({ save: () => () => {}, reset: () => this.#discardStep() });
  }

  /** How often the device was restored after a loss. */
  get generation(): number {
    return this.device.recovery?.generation ?? 0;
  }

  /** Gradients that the next commit computes, and those that are computed already. */
  get gradients(): Tensor[] {
    return [...this.differentiated].flatMap(({ grad }) => grad ?? []);
  }

  #discardStep(): void {
    noteChanges();
    for (const leaf of this.differentiated) leaf.grad = undefined;
    this.abandon();
  }

  /** Discards all work pending for the next step. */
  abandon(): void {
    this.ifFails.length = 0;
    for (const tensor of this.pending) tensor.pending = undefined;
    this.pending.clear();
    this.roots.clear();
    this.differentiated.clear();
  }

  /** The Program of this graph structure, from the cache or newly compiled. */
  compile({ graph, key: graphKey }: BoundGraph): CompiledGraph {
    const key = this.compileOptions.enabled ? graphKey : `unfused;${graphKey}`;
    const known = this.#compiled.get(placeOf(key));
    if (known?.key === key) return known;
    this.compiled++;
    return this.#prepare(key, compile(graph, this.device.info, this.compileOptions));
  }

  /** The executable, prepared again if it was released: recordings may outlive the cache entry. */
  executable(compiled: CompiledGraph): Executable {
    if (compiled.executable !== undefined) {
      this.#compiled.touch(compiled);
      return compiled.executable;
    }
    const { key, program } = compiled;
    const known = this.#compiled.get(placeOf(key));
    return (known?.key === key ? known : this.#prepare(key, program, compiled)).executable!;
  }

  #prepare(key: string, program: Program, again?: CompiledGraph): CompiledGraph {
    const executable = this.withMemory(() => this.device.prepare(program));
    const bytes = program.calls.length * bytesPerCall + executable.bytes;
    const compiled = again ?? { key, program, executable, bytes, used: 0 };
    compiled.executable = executable;
    this.#compiled.set(placeOf(key), compiled);
    return compiled;
  }

  /** Calls `fn`; if memory is exhausted, releases all executables and calls it once more. */
  withMemory<T>(fn: () => T): T {
    try {
      return fn();
    } catch (error) {
      if (!(error instanceof OutOfMemoryError) || this.#compiled.size === 0) throw error;
      this.#compiled.clear();
      return fn();
    }
  }

  /** Runs it with these leaves and new result buffers. */
  run(
    compiled: CompiledGraph,
    leaves: readonly Storage[],
    results: readonly Storage[],
    scalars: readonly RuntimeScalar[],
  ): void {
    const buffers = [...leaves, ...results].map((storage) => storage.buffer);
    const values = scalars.map((scalar) => scalar.value);
    const executable = this.executable(compiled);
    for (const observe of this.observers) observe(compiled.program, values, buffers);
    const failure = this.device.run(executable, buffers, values);
    if (this.ifFails.length > 0) for (const undo of this.ifFails.splice(0)) if (failure) undo();
  }
}

/** V8 hashes longer strings by their length alone: Programs of one structure at many lengths would share a bucket. */
const hashedByLength = 16_383;

/** The cache's key for a graph's key: for long keys a hash, which may collide. */
function placeOf(key: string): string {
  if (key.length <= hashedByLength) return key;
  let hash = key.length;
  for (let i = 0; i < key.length; i++) hash = (Math.imul(hash, 31) + key.charCodeAt(i)) | 0;
  return `${hash}`;
}

const sessions = new WeakMap<Device, Session>();

export function sessionOf(device: Device): Session {
  let session = sessions.get(device);
  if (session === undefined) {
    session = new Session(device);
    sessions.set(device, session);
  }
  return session;
}
