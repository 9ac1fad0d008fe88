/** One side of a comparison: a device of wattgrad, or another library. */

import type { EnergyMeter } from "../energy/index.js";
import type { Cost } from "../kernels/kernel.js";
import type { Roofline } from "../profile/index.js";
import type { Problem } from "./problem.js";

/** A problem that is ready to run. */
export interface Work {
  /** Of one run, counted; null for libraries that do not count. */
  readonly cost: Cost | null;
  /** Kernel calls or steps in one run. */
  readonly amount: number;
  /** Of a result that the library rounds to whole steps, such a step. */
  readonly step?: number;
  /** Called before each turn, untimed: where a library has one setting for all its backends. */
  begin?(): void;
  /** Enqueues one run, or makes it; a promise only where there is something to wait for. */
  run(): Promise<unknown> | undefined;
  /** Waits until all that was enqueued is computed. */
  finish(): Promise<unknown>;
  /** What a run computes, row-major and channels first; of training, the loss of the step that it makes. */
  result(): Promise<ArrayLike<number>>;
  close(): void;
}

export interface Contender {
  /** Of wattgrad; of a peer, its backend. */
  readonly device: string;
  /** Another library's name; null for wattgrad. */
  readonly peer: string | null;
  readonly description: string;
  readonly details: Readonly<Record<string, string | number | boolean>>;
  /** Null where nothing tells this contender's energy. */
  readonly meter: EnergyMeter | null;
  /**
   * Makes inputs and model, and compiles.
   * @throws What the library throws at work that it cannot do; an Error that says so where it has no such work.
   */
  build(problem: Problem): Promise<Work>;
  /** What it reaches at most; of wattgrad's devices. */
  roofline?(): Promise<Roofline>;
  close(): void;
}

/** Kinds of devices that both wattgrad and other libraries have. */
export type Backend = "wasm" | "webgl";
