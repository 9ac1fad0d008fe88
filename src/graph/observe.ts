/**
 * What a recording of a jit function sees of state outside the graph. State that is read becomes a guard of the
 * recording, state that is written an effect of its replays.
 */
import type { TypedArray } from "../core/dtype.js";

/** State of tensors and modules that decides which graph a function builds. */
export type ObservedKey = "training" | "requiresGrad" | "grad";

/** Carried by the tensors that were made during one recording. */
export interface RecordingMark {
  ended: boolean;
}

/** The tensors of graph/tensor.ts, as far as this file knows them: that one imports this one. */
interface Recordable {
  readonly recording: RecordingMark | undefined;
}

export interface Recorder {
  readonly mark: RecordingMark;
  read(owner: object, key: ObservedKey, value: unknown): void;
  write(owner: object, key: ObservedKey, before: unknown): void;
  /** Operands of a new node. */
  use(operands: readonly Recordable[]): void;
  /** A tensor was made from host data. */
  upload(tensor: Recordable, data: TypedArray): void;
  /** A module computes its output: its fields decide how. */
  enter(module: object): void;
}

/** Set while a jit function is recorded; at most one is at a time. */
export let recorder: Recorder | undefined;

export function setRecorder(next: Recorder | undefined): void {
  recorder = next;
}

/** Runs `fn` unobserved: for memory that outlives the recording, such as the moments of an optimizer. */
export function unobserved<T>(fn: () => T): T {
  const before = recorder;
  recorder = undefined;
  try {
    return fn();
  } finally {
    recorder = before;
  }
}

/** Whether the function that is being recorded made the tensor. */
export function isRecorded({ recording }: Recordable): boolean {
  return recording !== undefined && recording === recorder?.mark;
}
