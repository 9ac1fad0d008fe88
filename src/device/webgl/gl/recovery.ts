/**
 * Snapshots: host copies of leaf buffers, from which a device is restored after a loss of its context. All copies of a snapshot are
 * enqueued at one point of the command stream, between Programs, so that parameters and optimizer state are consistent. They complete
 * asynchronously; the snapshot is valid when all are complete. Buffers unchanged since the previous snapshot are not copied again.
 *
 * Automatic snapshots start when the running task has ended, so that they never split the code between two awaits of a program (update
 * the weights, advance the schedule, count the step).
 */
import { DeviceLostError } from "../../../core/errors.js";
import type { DeviceRecovery, SnapshotParticipant } from "../../recovery.js";
import type { WebglBuffer } from "./buffer.js";
import { cleanState } from "./context.js";
import { type RunFlag, takeFlags } from "./flag.js";
import { type ContextLoss, contextLost } from "./loss.js";
import type { PendingRead, Readback } from "./readback.js";

interface Copy {
  readonly raw: ArrayBuffer;
  /** Version of the buffer when it was copied. */
  readonly version: number;
}

interface Reading {
  readonly buffer: WebglBuffer;
  readonly version: number;
  readonly flags: readonly RunFlag[];
  /** Valid once the flags are known. */
  readonly isFailed: () => boolean;
  readonly read: PendingRead;
}

interface Snapshot {
  /** Copies of the buffers that had values. */
  readonly copies: ReadonlyMap<WebglBuffer, Copy>;
  /** Restore the states of the participants. */
  readonly states: readonly (() => void)[];
}

/** The device's part in its recovery. */
export interface Recoverable {
  readonly gl: WebGL2RenderingContext;
  readonly loss: ContextLoss;
  readonly buffers: Iterable<WebglBuffer>;
  readonly readback: Readback;
  /** Creates new resources in the restored context and writes every buffer's copy; buffers without one are lost. */
  rebuild(copyOf: (buffer: WebglBuffer) => Copy | undefined): void;
}

export class WebglRecovery implements DeviceRecovery {
  generation = 0;
  /** Number of completed snapshots. */
  count = 0;
  private readonly participants = new Set<SnapshotParticipant>();
  private last: Snapshot | undefined;
  /** The snapshot in progress. */
  private running: Promise<void> | undefined;
  private restoring: Promise<void> | undefined;
  private lastStart = Number.NEGATIVE_INFINITY;
  private isPlanned = false;

  /** @param interval ms between automatic snapshots; undefined for none. */
  constructor(
    private readonly device: Recoverable,
    private readonly interval: number | undefined,
  ) {}

  register(participant: SnapshotParticipant): () => void {
    this.participants.add(participant);
    return () => this.participants.delete(participant);
  }

  async snapshot(): Promise<boolean> {
    const { gl, loss, buffers, readback } = this.device;
    if (loss.isLost) throw contextLost();
    const states: (() => void)[] = [];
    for (const participant of this.participants) {
      const state = participant.save();
      if (state === undefined) return false;
      states.push(state);
    }
    this.lastStart = performance.now();
    const copies = new Map<WebglBuffer, Copy>();
    const reads: Reading[] = [];
    cleanState(gl);
    for (const buffer of buffers) {
      const { version, size, texture, isLost, flag, texels } = buffer;
      if (size === 0 || version === 0 || isLost || flag?.errorAt(texels)) continue;
      const before = this.last?.copies.get(buffer);
      if (before?.version === version) copies.set(buffer, before);
      else {
        const flags = buffer.openFlags;
        const read = readback.start({ texture, size }, ...flags.map(({ part }) => part));
        reads.push({ buffer, version, flags, isFailed: () => flag?.errorAt(texels) !== undefined, read });
      }
    }
    const { running } = this;
    const own = this.complete(reads, copies, states, running);
    this.running = own;
    try {
      await own;
    } finally {
      if (this.running === own) this.running = undefined;
    }
    return true;
  }

  restore(): Promise<void> {
    this.restoring ??= this.comeBack().finally(() => {
      this.restoring = undefined;
    });
    return this.restoring;
  }

  /** Called after each Program: schedules a snapshot if one is due. */
  noteRun(): void {
    const { interval } = this;
    if (interval === undefined || this.isPlanned || this.running !== undefined) return;
    if (performance.now() - this.lastStart < interval) return;
    this.isPlanned = true;
    queueMicrotask(() => {
      this.isPlanned = false;
      // Nothing awaits this snapshot; a loss is reported by the next use of the device.
      this.snapshot().catch(() => {});
    });
  }

  /** Snapshots complete in the order in which they were started. */
  private async complete(
    reads: readonly Reading[],
    copies: Map<WebglBuffer, Copy>,
    states: readonly (() => void)[],
    before: Promise<void> | undefined,
  ): Promise<void> {
    const arrived = await Promise.all(reads.map(({ read }) => read.finish()));
    await before?.catch(() => {});
    reads.forEach(({ buffer, version, flags, isFailed }, i) => {
      takeFlags(flags, arrived[i]);
      if (!isFailed()) copies.set(buffer, { raw: arrived[i], version });
    });
    for (const buffer of copies.keys()) if (buffer.freed) copies.delete(buffer);
    this.last = { copies, states };
    this.count++;
  }

  private async comeBack(): Promise<void> {
    const { gl, loss } = this.device;
    if (!loss.isLost) return;
    if (this.last === undefined) {
      throw new DeviceLostError("the WebGL context was lost, and there is no snapshot to go on from", {
        device: "webgl",
        hint: "take snapshots (snapshotInterval, device.recovery.snapshot()), or load a checkpoint on another device",
      });
    }
    const { copies, states } = this.last;
    // The context may be lost again at any moment.
    do {
      await loss.contextBack();
      try {
        this.device.rebuild((buffer) => copies.get(buffer));
      } catch (error) {
        if (!gl.isContextLost()) throw error;
      }
    } while (gl.isContextLost());
    this.generation++;
    loss.restored();
    for (const participant of this.participants) participant.reset?.();
    for (const putBack of states) putBack();
  }
}
