/** Snapshots of a training run on a device that can be lost, and going back to the last one (device/recovery.ts). */

import { DeviceLostError } from "../core/errors.js";
import type { DeviceRecovery, SnapshotParticipant } from "../device/recovery.js";
import type { Module } from "../nn/index.js";
import { realize } from "../runtime/realize.js";
import type { SnapshotOptions } from "./fit_options.js";

const defaultSteps = 100;
/** Losses without a new snapshot after which it is the training itself that seems to bring the device down. */
const maxFruitless = 20;

export class Snapshots {
  readonly #device: DeviceRecovery;
  readonly #everySteps: number;
  readonly #run: SnapshotParticipant;
  #unregister: (() => void) | undefined;
  /** The last one, on its way or complete. */
  #last: Promise<unknown> | undefined;
  /** Steps of the snapshot that training went back to, and how often in a row. */
  #restored = { step: -1, times: 0 };

  /** @param run the training, whose own state belongs to each snapshot. */
  constructor(
    device: DeviceRecovery,
    { everySteps = defaultSteps }: SnapshotOptions,
    run: SnapshotParticipant,
  ) {
    this.#device = device;
    this.#everySteps = everySteps;
    this.#run = run;
  }

  /** The first one; resolves when it is complete. */
  async begin(model: Module): Promise<void> {
    // Lazy initial values are computed now: otherwise they would be lost together with their inputs.
    realize([...model.stateDict().values()]);
    this.#unregister = this.#device.register(this.#run);
    await this.#device.snapshot();
  }

  isDue(step: number): boolean {
    return step % this.#everySteps === 0;
  }

  /** Starts a snapshot of the present state; its values are read while training continues. */
  async take(): Promise<void> {
    // Usually complete for long. If not, there is no use in more of them.
    await this.#last;
    this.#last = this.#device.snapshot();
    // The error is thrown where the promise is awaited; the next step detects a lost device.
    this.#last.catch(() => {});
  }

  /**
   * Waits for the lost device and restores the state of the last snapshot, whose step is then `step`.
   * @throws DeviceLostError if the device is not restored, or is lost repeatedly.
   */
  async goBack(cause: DeviceLostError, step: () => number): Promise<void> {
    this.#last = undefined;
    await this.#device.restore();
    const times = this.#restored.step === step() ? this.#restored.times + 1 : 1;
    this.#restored = { step: step(), times };
    if (times <= maxFruitless) return;
    throw new DeviceLostError(`the device was lost ${times} times after step ${step()}`, {
      op: "fit",
      hint: "smaller batches, or another device",
      cause,
    });
  }

  end(): void {
    this.#unregister?.();
  }
}
