/** One side of a comparison: a device of wattgrad, or another library. */

import type { EnergyMeter } from "../energy/index.js";
import type { Cost } from "../kernels/kernel.js";
import type { Roofline } from "../profile/index.js";
import type { Problem } from "./problem.js";

/** A prepared problem: inputs on the device, everything compiled. */
export interface Work {
  /** FLOPs and bytes of one run; null for libraries that do not count. */
  readonly cost: Cost | null;
  /** Kernel calls or steps in one run. */
  readonly amount: number;
  /** Quantization step of a rounded result. */
  readonly step?: number;
  /** Called before each turn, untimed: for libraries with one global backend setting. */
  begin?(): void;
  /** Enqueues or performs one run. Returns a promise only if the library is asynchronous. */
  run(): Promise<unknown> | undefined;
  /** Waits until all enqueued runs have finished. */
  finish(): Promise<unknown>;
  /** The result of a run, row-major and channels-first; for training, the loss of its step. */
  result(): Promise<ArrayLike<number>>;
  close(): void;
}

export interface Contender {
  /** Device name of wattgrad, or backend name of a peer. */
  readonly device: string;
  /** Name of the peer library; null for wattgrad. */
  readonly peer: string | null;
  readonly description: string;
  readonly details: Readonly<Record<string, string | number | boolean>>;
  /** Null if this contender's energy is unknown. */
  readonly meter: EnergyMeter | null;
  /**
   * Creates inputs and model, and compiles.
   * @throws The library's own errors; an Error that names unsupported work.
   */
  build(problem: Problem): Promise<Work>;
  /** Measured roofline; wattgrad's devices only. */
  roofline?(): Promise<Roofline>;
  close(): void;
}

/** Device kinds that wattgrad shares with other libraries. */
export type Backend = "wasm" | "webgl";
