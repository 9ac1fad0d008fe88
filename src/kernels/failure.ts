/**
 * Failed runs: an index outside its axis, a kernel that traps, or a leaf that an earlier failed run did not compute. Results that
 * depend on the failure throw when they are read, all other results are computed, and no input is updated (see Device.run).
 */
import { IndexError, type WattgradError } from "../core/errors.js";
import type { GatherCall } from "./gather.js";
import type { IndexReport } from "./indexing.js";
import { operandsOf } from "./operands.js";
import type { Program } from "./program.js";
import type { ScatterAddCall } from "./scatter_add.js";
import type { KernelCall } from "./table.js";

/** The error state of a buffer. */
export interface Readable {
  /** Set if the buffer has no valid values: thrown by every read of it and of values computed from it. */
  failure?: WattgradError | undefined;
  /** Set if a failed run skipped an update and no result reports the error. The buffer keeps its old value. */
  missed?: Missed | undefined;
}

/** An error shared by the buffers whose update was skipped; thrown once, by the first read of any of them. */
export interface Missed {
  error: WattgradError | undefined;
}

/** @throws The buffer's pending error. */
export function requireReadable(buffer: Readable): void {
  if (buffer.failure) throw buffer.failure;
  const { missed } = buffer;
  buffer.missed = undefined;
  if (!missed?.error) return;
  const { error } = missed;
  missed.error = undefined;
  throw error;
}

export function reportOf({ kernel, report }: GatherCall | ScatterAddCall): IndexReport {
  return report ?? { op: kernel, item: "index", unit: "elements" };
}

export function indexError(
  { op, item, unit }: IndexReport,
  index: number,
  axisSize: number,
  device: string,
): IndexError {
  return new IndexError(`${item} ${index} of ${axisSize} ${unit}`, { op, device });
}

/** A failed call, by its index in the list that was run. */
export interface CallFailure {
  readonly at: number;
  readonly error: WattgradError;
  /** A kernel trapped: no further call can run. */
  readonly isTrap?: boolean;
}

/**
 * Completes a failed run: repeats it without the calls that depend on a failure, and sets the error state of the buffers that were
 * not computed. `run` executes a list of calls and returns the first failure.
 *
 * @param first The failure of the whole Program; undefined if it has not run because some leaves are invalid.
 * @returns The error to report; undefined if the Program does not read the invalid leaves and has run.
 */
export function runAround(
  program: Program,
  buffers: readonly Readable[],
  first: CallFailure | undefined,
  run: (calls: readonly KernelCall[]) => CallFailure | undefined,
): WattgradError | undefined {
  const { calls, inputCount = 0 } = program;
  const failed = new Map<KernelCall, WattgradError>();
  let list = calls;
  let failure = first;
  for (;;) {
    if (failure !== undefined) {
      const { at, error, isTrap } = failure;
      failed.set(list[at], error);
      // An input was already updated: repeating the run would use its new value.
      if (isTrap || list.slice(0, at).some((call) => updates(call, inputCount))) {
        invalidate(program, buffers, error, list[at]);
        return error;
      }
    }
    const { errors, missed, unaffected } = propagateFailures(
      program,
      failed,
      (slot) => buffers[slot]?.failure,
    );
    const [error] = [...failed.values(), ...errors.values(), ...missed.values()];
    list = error === undefined ? calls : unaffected;
    try {
      failure = run(list);
    } catch (thrown) {
      // Out of memory while preparing the shorter list.
      if (error === undefined) throw thrown;
      invalidate(program, buffers, error);
      return error;
    }
    if (failure !== undefined) continue;
    for (const { slot } of calls.flatMap((call) => operandsOf(call).writes)) {
      const isDone = slot >= inputCount || error === undefined;
      if (slot < buffers.length && isDone) buffers[slot].failure = errors.get(slot);
    }
    const isReported = [...errors.keys()].some((slot) => slot < buffers.length);
    const notice: Missed = { error };
    if (!isReported) for (const slot of missed.keys()) buffers[slot].missed = notice;
    return error;
  }
}

/**
 * Propagates the failures of calls and leaves through the Program. Returns, by slot, the errors of temporaries and results
 * (`errors`) and of inputs whose update is skipped (`missed`), and the calls that no failure affects (`unaffected`).
 */
export function propagateFailures<Failure>(
  { calls, inputCount = 0 }: Program,
  failed: ReadonlyMap<KernelCall, Failure>,
  failureOf: (leaf: number) => Failure | undefined,
) {
  const propagate = (anyError: Failure | undefined) => {
    const errors = new Map<number, Failure>();
    const missed = new Map<number, Failure>();
    const written = new Set<number>();
    const unaffected: KernelCall[] = [];
    for (const call of calls) {
      const { reads, writes } = operandsOf(call);
      let error = failed.get(call);
      for (const { slot } of reads) {
        error ??= errors.get(slot) ?? missed.get(slot) ?? (written.has(slot) ? undefined : failureOf(slot));
      }
      const isUpdate = updates(call, inputCount);
      if (isUpdate) error ??= anyError;
      if (error === undefined && !isUpdate) unaffected.push(call);
      for (const { slot } of writes) {
        if (error) (isUpdate ? missed : errors).set(slot, error);
        else written.add(slot);
      }
    }
    return { errors, missed, unaffected };
  };
  const first = propagate(undefined);
  const [error] = [...first.errors.values(), ...first.missed.values()];
  // Any failure cancels all updates, so a second pass also marks the other inputs and the values computed from their new values.
  return error === undefined ? first : propagate(error);
}

function updates(call: KernelCall, inputCount: number): boolean {
  return operandsOf(call).writes.some(({ slot }) => slot < inputCount);
}

/** Marks all results as failed, and the inputs that the call `at` was writing when it stopped. */
function invalidate(
  { calls, inputCount = 0 }: Program,
  buffers: readonly Readable[],
  error: WattgradError,
  at?: KernelCall,
): void {
  for (const call of calls) {
    for (const { slot } of operandsOf(call).writes) {
      if (slot < buffers.length && (slot >= inputCount || call === at)) buffers[slot].failure = error;
    }
  }
}
