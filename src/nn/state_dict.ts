/** Types of `loadStateDict`: its argument, options, result and error. */

import { WattgradError } from "../core/errors.js";
import type { Device } from "../device/device.js";
import type { DeviceChoice } from "../device/select.js";
import type { StateValue } from "./state_values.js";

export type { HostTensor as HostValues, StoredTensor } from "../formats/host.js";
export type { StateValue } from "./state_values.js";

/** Tensors of a device, of the host or of a file, by name. */
export type StateDict = ReadonlyMap<string, StateValue>;

/** Options of `Module.loadStateDict`. */
export interface LoadOptions {
  /** Requires every key of the module except optional buffers, and no other. Default true. */
  readonly strict?: boolean;
  /** Keys of the state dict to skip, in addition to `Module.ignoredKeys`. */
  readonly ignore?: readonly RegExp[];
  /** Keys of the module that the state dict may lack: these parameters and buffers keep their values. */
  readonly optional?: readonly RegExp[];
  /**
   * Makes new tensors on this device instead of copying into the module's own, as PyTorch's `assign=True`: for modules built on
   * the meta device, whose tensors have no memory.
   */
  readonly assign?: Device | DeviceChoice;
}

/** Keys that `loadStateDict` did not load. */
export interface LoadReport {
  /** Keys of the state dict that were skipped. */
  readonly ignored: readonly string[];
  /** Keys of the module that the state dict lacks: the tensors kept their values. */
  readonly missing: readonly string[];
}

/** Everything about a state dict that does not fit the module, by key. */
export interface StateDictProblems {
  /** Keys of the module that the state dict lacks; empty when not strict. */
  readonly missing: readonly string[];
  /** Keys of the state dict that the module lacks; empty when not strict. */
  readonly unexpected: readonly string[];
  /** Keys whose shape, dtype or length differs, and keys of one tied tensor whose values differ. */
  readonly mismatched: readonly string[];
}

/**
 * A state dict that does not fit the module; the message lists every problem.
 *
 * @example
 * await new Linear(2, 2).loadStateDict(new Linear(2, 3).stateDict()); // throws StateDictError
 */
export class StateDictError extends WattgradError implements StateDictProblems {
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly mismatched: readonly string[];

  constructor(problem: string, mismatched: readonly string[], { missing, unexpected } = none) {
    super("STATE_DICT", `the state dict does not fit: ${problem}`, { op: "loadStateDict" });
    this.missing = missing;
    this.unexpected = unexpected;
    this.mismatched = mismatched;
  }
}

const none: Omit<StateDictProblems, "mismatched"> = { missing: [], unexpected: [] };
