/**
 * Runs that fail: an index outside its axis, a kernel that traps, a leaf that an earlier run could not compute. What was computed
 * from that is not readable; everything else is computed as ever, and no input is updated (see Device.run).
 */
import { IndexError, type WattgradError } from "../core/errors.js";
import type { GatherCall } from "./gather.js";
import type { IndexReport } from "./indexing.js";
import { operandsOf } from "./operands.js";
import type { Program } from "./program.js";
import type { ScatterAddCall } from "./scatter_add.js";
import type { KernelCall } from "./table.js";

/** What a device notes on its buffers. */
export interface Readable {
  /** Why it holds nothing: thrown by every read, and by reads of what is computed from it. */
  failure?: WattgradError | undefined;
  /** The updates of a run that failed and that no result tells of. The old value is there. */
  missed?: Missed | undefined;
}

/** Thrown by the next read of one of the buffers, once. */
export interface Missed {
  error: WattgradError | undefined;
}

/** @throws what the buffer's last run left there. */
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

/** A call, by its place among those that were run, and why it failed. */
export interface CallFailure {
  readonly at: number;
  readonly error: WattgradError;
  /** Nothing more can be computed: a trap. */
  readonly isTrap?: boolean;
}

/**
 * Brings a run that failed to its end: runs the calls that depend on no failure, and notes on the buffers what could not be
 * computed. `run` executes the given calls of the Program until one fails.
 *
 * @param first how the whole Program failed; undefined if nothing ran yet, as there are leaves that are not readable.
 * @returns the error to report; undefined if the Program reads none of those leaves and has run.
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
      // Inputs with new values give other results: those are not computed again.
      if (isTrap || list.slice(0, at).some((call) => updates(call, inputCount))) {
        giveUp(program, buffers, error, list[at]);
        return error;
      }
    }
    const { errors, missed, sound } = spread(program, failed, (slot) => buffers[slot]?.failure);
    const [error] = [...failed.values(), ...errors.values(), ...missed.values()];
    list = error === undefined ? calls : sound;
    try {
      failure = run(list);
    } catch (thrown) {
      // No memory to run a part.
      if (error === undefined) throw thrown;
      giveUp(program, buffers, error);
      return error;
    }
    if (failure !== undefined) continue;
    for (const { slot } of calls.flatMap((call) => operandsOf(call).writes)) {
      const isDone = slot >= inputCount || error === undefined;
      if (slot < buffers.length && isDone) buffers[slot].failure = errors.get(slot);
    }
    const isTold = [...errors.keys()].some((slot) => slot < buffers.length);
    const told: Missed = { error };
    if (!isTold) for (const slot of missed.keys()) buffers[slot].missed = told;
    return error;
  }
}

/**
 * Where failures of calls and of leaves end: by slot, the errors of temporaries and results, and those of inputs that should have
 * been updated; and the calls that can be run.
 */
export function spread<Failure>(
  { calls, inputCount = 0 }: Program,
  failed: ReadonlyMap<KernelCall, Failure>,
  failureOf: (leaf: number) => Failure | undefined,
) {
  const runCalls = (anyError: Failure | undefined) => {
    const errors = new Map<number, Failure>();
    const missed = new Map<number, Failure>();
    const written = new Set<number>();
    const sound: KernelCall[] = [];
    for (const call of calls) {
      const { reads, writes } = operandsOf(call);
      let error = failed.get(call);
      for (const { slot } of reads) {
        error ??= errors.get(slot) ?? missed.get(slot) ?? (written.has(slot) ? undefined : failureOf(slot));
      }
      const isUpdate = updates(call, inputCount);
      if (isUpdate) error ??= anyError;
      if (error === undefined && !isUpdate) sound.push(call);
      for (const { slot } of writes) {
        if (error) (isUpdate ? missed : errors).set(slot, error);
        else written.add(slot);
      }
    }
    return { errors, missed, sound };
  };
  const first = runCalls(undefined);
  const [error] = [...first.errors.values(), ...first.missed.values()];
  // A Program that fails updates nothing, so that inputs miss values which could have been computed, too, and so does what is
  // computed of them afterwards.
  return error === undefined ? first : runCalls(error);
}

function updates(call: KernelCall, inputCount: number): boolean {
  return operandsOf(call).writes.some(({ slot }) => slot < inputCount);
}

/** No result is readable; of the inputs only those that the call was writing when it stopped are not. */
function giveUp(
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
