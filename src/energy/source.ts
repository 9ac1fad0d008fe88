/** What a source of energy figures is: a counter of joules, whether a meter stands behind it or a model. */
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
  /** Whether its figure has the energy of a GPU in it. */
  readonly coversGpu: boolean;
  /** Reading takes microseconds (a file, a clock), so that it can be done after every step. */
  readonly isCheap: boolean;
  /** It has to be read about so often, because its counter wraps around or is integrated from power. */
  readonly everySeconds?: number;
  /**
   * Joules since some moment; only differences mean something.
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

/** @internal Node's module, reached without an import, so that bundles for pages carry nothing of it. */
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
