/**
 * Recovery from the loss of a device. A snapshot holds the values of all leaf buffers at one point of the command stream, copied to
 * the host, and the state outside the device at that moment: step counts of optimizers, positions of random streams and datasets.
 * The owner of such state registers as a participant of the snapshots.
 *
 * After a loss every use of the device throws DeviceLostError until `restore()`: it waits for the device and restores buffers and
 * participants together, so that old and new state never mix. Tensors made after the snapshot are lost. `fit` does all of this; a
 * loop of your own registers its counter.
 */

/** An owner of state outside the device that belongs to the values on it: a training loop's counter, an optimizer. */
export interface SnapshotParticipant {
  /**
   * Called when a snapshot is taken; the returned function restores the present state. Undefined declines the snapshot: state and
   * values on the device do not match at this moment.
   */
  save(): (() => void) | undefined;
  /** Called when the device is back, before states are restored, also for participants that the snapshot does not include. */
  reset?(): void;
}

/**
 * Snapshots of a device that can be lost, and their restoration: `Device.recovery`.
 *
 * @example
 * const device = await openDevice("wasm");
 * let step = 0;
 * device.recovery?.register({
 *   save() {
 *     const saved = step;
 *     return () => {
 *       step = saved;
 *     };
 *   },
 * });
 * while (step < 3) {
 *   try {
 *     step++; // train one step
 *     if (step % 100 === 0) device.recovery?.snapshot().catch(() => {});
 *   } catch (error) {
 *     if (!(error instanceof DeviceLostError)) throw error;
 *     await device.recovery?.restore(); // weights, optimizer and `step` are those of the snapshot
 *   }
 * }
 * device.recovery; // undefined
 */
export interface DeviceRecovery {
  /** How often the device was restored. Recordings of earlier generations are made anew. */
  readonly generation: number;
  /** Includes the participant in every later snapshot; returns a function that ends this. */
  register(participant: SnapshotParticipant): () => void;
  /**
   * Copies all leaf buffers as they are after everything enqueued so far, without blocking work enqueued later. Resolves to true
   * when the snapshot is complete, to false if a participant declined.
   * @throws DeviceLostError if the device is lost before.
   */
  snapshot(): Promise<boolean>;
  /**
   * After a loss, waits until the device is back and restores buffers and participants from the last snapshot; resolves at once if
   * the device is not lost.
   * @throws DeviceLostError if there is no snapshot, or the device does not come back.
   */
  restore(): Promise<void>;
}

/** Registers `participant` without keeping it alive. */
export function registerWeakly(recovery: DeviceRecovery, participant: SnapshotParticipant): void {
  const reference = new WeakRef(participant);
  const unregister = recovery.register({
    save() {
      const alive = reference.deref();
      if (alive !== undefined) return alive.save();
      unregister();
      return () => {};
    },
  });
}
