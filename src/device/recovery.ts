/**
 * Coming back from the loss of a device. A snapshot holds all leaf buffers as they were at one point of the command
 * stream, copied to the host, and with them the state of the same moment that lives outside the device: step counts of
 * optimizers, positions of random streams and data sets. Whoever owns such state follows the device's snapshots.
 *
 * After a loss every use of the device throws DeviceLostError, until somebody awaits `restore()`: that waits for the
 * device and puts buffers and followers back together, so nothing goes on with half of the old state unnoticed. What
 * was made after the snapshot is gone. `fit` does all of that by itself; a loop of one's own follows with its counter.
 */

/** Owner of state outside the device that belongs to the values on it. */
export interface Follower {
  /**
   * Called when a snapshot is taken; what it returns puts the state back as it is now. Undefined: not now, values on
   * the device and this state do not fit together.
   */
  remember(): (() => void) | undefined;
  /** Called when the device is back, before states are put back, whether or not the snapshot knew of the follower. */
  forget?(): void;
}

/**
 * What a device has that can be lost and come back.
 *
 * @example
 * let step = 0;
 * device.recovery?.follow({
 *   remember() {
 *     const now = step;
 *     return () => {
 *       step = now;
 *     };
 *   },
 * });
 * while (step < steps) {
 *   try {
 *     const loss = train(batch(step)); // updates the weights
 *     step++;
 *     if (step % 100 === 0) device.recovery?.snapshot().catch(() => {});
 *     console.log(await loss.item());
 *   } catch (error) {
 *     if (!(error instanceof DeviceLostError)) throw error;
 *     await device.recovery?.restore(); // weights, optimizer and `step` are what they were
 *   }
 * }
 */
export interface DeviceRecovery {
  /** How often the device came back. Recordings of earlier generations are made anew. */
  readonly generation: number;
  /** Asks the follower at every snapshot from now on; returns what ends that. */
  follow(follower: Follower): () => void;
  /**
   * Copies all leaf buffers as they are after everything enqueued so far, without stopping what is enqueued next;
   * resolves to true when the snapshot is complete and counts, to false if a follower declined.
   * @throws DeviceLostError if the device is lost before.
   */
  snapshot(): Promise<boolean>;
  /**
   * After a loss, waits until the device is back and puts buffers and followers back as the last snapshot has them;
   * resolves at once if the device is not lost.
   * @throws DeviceLostError if there is no snapshot, or the device does not come back.
   */
  restore(): Promise<void>;
}

/** Follows for as long as `follower` is in use elsewhere, without keeping it alive. */
export function followWeakly(recovery: DeviceRecovery, follower: Follower): void {
  const reference = new WeakRef(follower);
  const stop = recovery.follow({
    remember() {
      const alive = reference.deref();
      if (alive !== undefined) return alive.remember();
      stop();
      return () => {};
    },
  });
}
