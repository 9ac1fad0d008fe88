/** Step counts of parameters, and the runtime scalars that depend on them. */
import type { Device } from "../device/device.js";
import type { RuntimeScalar } from "../graph/op.js";
import { sessionOf } from "../runtime/session.js";

/** The state of update steps that parameters share: step count, settings, and the runtime scalars derived from them. */
export interface StepState<Settings> {
  /** Updates made so far. */
  step: number;
  readonly settings: Settings;
  /** Read by the update's Program; `updateScalars` sets their values. */
  readonly scalars: Readonly<Record<string, RuntimeScalar>>;
}

/** Reverts the step count if the step's Program fails, on devices that report failures at once. */
export function noteFailure(stepStates: ReadonlySet<{ step: number }>, devices: ReadonlySet<Device>): void {
  let isCounted = true;
  for (const device of devices) {
    sessionOf(device).ifFails.push(() => {
      if (isCounted) for (const stepState of stepStates) stepState.step--;
      isCounted = false;
    });
  }
}

export function revertSteps(stepStates: ReadonlySet<{ step: number }>): () => void {
  return () => {
    for (const stepState of stepStates) stepState.step--;
  };
}
