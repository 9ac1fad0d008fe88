/** What the runtime keeps for each device: compiled Programs, waiting assignments, losses to realize. */
import type { Device, Executable } from "../device/device.js";
import type { Cost } from "../device/kernel.js";
import type { RuntimeScalar } from "../tensor/op.js";
import type { Storage } from "../tensor/storage.js";
import type { Tensor } from "../tensor/tensor.js";
import { compile } from "./compile.js";
import type { FuseOptions } from "./fuse.js";
import type { BoundGraph } from "./graph.js";

/** Compiled Programs kept per device; the least recently used goes first. */
const maxPrograms = 512;

export class Session {
  readonly device: Device;
  /** Tensors with a pending value. */
  readonly pending = new Set<Tensor>();
  /** Losses on which backward() was called since the last flush. */
  readonly roots = new Set<Tensor>();
  /** Tensors whose `.grad` was made by backward() since the last flush. */
  readonly differentiated = new Set<Tensor>();
  /** The capture of the jit function that is being recorded. */
  capture: Capture | undefined;
  /** How many Programs were ever compiled. */
  compiled = 0;
  /** Cost of the Programs run so far. */
  readonly total: { flops: number; bytes: number; runs: number } = { flops: 0, bytes: 0, runs: 0 };
  /** Set by the debug mode: waits for the checks of the ops run so far. */
  checks: (() => Promise<void>) | undefined;
  /** Set while costs are counted or a profile is taken: told of every Program that is run. */
  observer: ((executable: Executable, scalars: readonly number[]) => void) | undefined;
  fuseOptions: FuseOptions = { enabled: true };
  readonly #programs = new Map<string, Executable>();

  constructor(device: Device) {
    this.device = device;
    // What waited for a step was built on values that are gone; ops must not see it when the device is back.
    device.recovery?.follow({ remember: () => () => {}, forget: () => this.#forgetStep() });
  }

  /** How often the device was lost and came back. */
  get generation(): number {
    return this.device.recovery?.generation ?? 0;
  }

  #forgetStep(): void {
    for (const leaf of this.differentiated) leaf.grad = undefined;
    this.abandon();
  }

  /** Forgets everything that waits for the next step. */
  abandon(): void {
    for (const tensor of this.pending) tensor.pending = undefined;
    this.pending.clear();
    this.roots.clear();
    this.differentiated.clear();
  }

  /** The Program for this structure, compiled at most once. */
  executable(bound: BoundGraph): Executable {
    const key = this.fuseOptions.enabled ? bound.key : `unfused;${bound.key}`;
    let executable = this.#programs.get(key);
    if (executable === undefined) {
      executable = this.device.prepare(compile(bound.graph, this.device.info, this.fuseOptions));
      this.compiled++;
    } else {
      this.#programs.delete(key);
    }
    this.#programs.set(key, executable);
    if (this.#programs.size > maxPrograms) {
      const [oldestKey, oldest] = this.#programs.entries().next().value!;
      this.#programs.delete(oldestKey);
      this.device.release(oldest);
    }
    return executable;
  }

  /** Runs it with these leaves and fresh result buffers, and counts its cost. */
  run(
    executable: Executable,
    leaves: readonly Storage[],
    results: readonly Storage[],
    scalars: readonly RuntimeScalar[],
  ): void {
    const buffers = [...leaves, ...results].map((storage) => storage.buffer);
    const values = scalars.map((scalar) => scalar.value);
    this.device.run(executable, buffers, values);
    this.observer?.(executable, values);
    const { flops, bytes }: Cost = executable.program.cost;
    this.total.flops += flops;
    this.total.bytes += bytes;
    this.total.runs++;
  }
}

/** What a jit function records besides its graph. */
export interface Capture {
  /** Run before each replay: they advance step numbers and random offsets. */
  readonly hooks: (() => void)[];
  /** Take back what the captured call itself advanced, if it does not run. */
  readonly undos: (() => void)[];
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
