/** Interface of energy sources: cumulative counters of joules, of a meter or of a model. */
import { type ErrorDetails, WattgradError } from "../core/errors.js";
import type { EnergyKind } from "./figure.js";

/**
 * A meter that is missing, not readable, or has stopped.
 *
 * @example
 * await openMeter({ command: "exit 1" }); // throws EnergyError
 */
export class EnergyError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("ENERGY", message, details);
  }
}

export interface EnergySource {
  /** Short, for lists: `rapl`, `nvidia`, `battery`, … */
  readonly name: string;
  readonly kind: EnergyKind;
  readonly method: string;
  readonly scope: string;
  /** Whether its figure includes a GPU. */
  readonly coversGpu: boolean;
  /** A reading takes microseconds (a file, a clock) and can be done after every step. */
  readonly isCheap: boolean;
  /** Longest interval between readings, if the counter wraps around or is integrated from power. */
  readonly everySeconds?: number;
  /**
   * Joules since an arbitrary origin; only differences have a meaning.
   * @throws EnergyError if the meter cannot be read any more.
   */
  read(): Promise<number>;
  close(): void;
}

/** A source of energy readings that was not used, and why. */
export interface RejectedSource {
  readonly name: string;
  readonly reason: string;
}

/** @internal Node's module, loaded without an import so that page bundles do not include it. */
export function nodeModule<K extends keyof NodeModules>(name: K): NodeModules[K] {
  const load = globalThis.process?.getBuiltinModule;
  if (load === undefined) throw new EnergyError("a page cannot read meters");
  return load(name) as NodeModules[K];
}

/** @internal */
interface NodeModules {
  readonly "node:fs": typeof import("node:fs");
  readonly "node:path": typeof import("node:path");
  readonly "node:child_process": typeof import("node:child_process");
}
