/**
 * Observation of state outside the graph while a jit function is recorded. Reads become guards of the recording, writes become
 * effects of its replays.
 */
import type { TypedArray } from "../core/dtype.js";

/** State of tensors and modules that determines the graph of a function. */
export type ObservedKey = "training" | "requiresGrad" | "grad";

/** Marks the tensors made during one recording. */
export interface RecordingMark {
  ended: boolean;
}

/** The part of a Tensor that is needed here; graph/tensor.ts imports this file. */
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
  /** A module's forward runs, which depends on its fields. */
  enter(module: object): void;
}

/** The active recorder; set while a jit function is recorded. */
export let recorder: Recorder | undefined;

export function setRecorder(next: Recorder | undefined): void {
  recorder = next;
}

/** Runs `fn` without the recorder: for memory that outlives the recording, such as an optimizer's moments. */
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
