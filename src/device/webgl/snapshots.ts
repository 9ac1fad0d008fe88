/**
 * Host copies of leaf buffers, from which a device comes back after its context was lost. A snapshot is taken at one
 * point of the command stream, so that parameters and optimizer state fit together; it counts when all of it has arrived.
 */
import type { WebglBuffer } from "./buffer.js";
import type { PendingRead, Readback } from "./readback.js";

interface Saved {
  readonly raw: ArrayBuffer;
  readonly version: number;
}

export class Snapshots {
  /** How many have been completed. */
  count = 0;
  private readonly saved = new WeakMap<WebglBuffer, Saved>();
  private running: Promise<void> | undefined;
  private lastStart = Number.NEGATIVE_INFINITY;

  /** @param interval milliseconds between snapshots that are taken by themselves. */
  constructor(private readonly interval: number) {}

  /** Whether the interval has passed and no snapshot is under way. */
  get isDue(): boolean {
    return this.running === undefined && performance.now() - this.lastStart >= this.interval;
  }

  /** Enqueues copies of all buffers that have changed; resolves when the snapshot counts, rejects if it was lost. */
  take(buffers: Iterable<WebglBuffer>, readback: Readback): Promise<void> {
    this.lastStart = performance.now();
    const changed: { buffer: WebglBuffer; version: number; read: PendingRead }[] = [];
    for (const buffer of buffers) {
      const { version, size, texture, isLost } = buffer;
      if (size === 0 || isLost || this.saved.get(buffer)?.version === version) continue;
      changed.push({ buffer, version, read: readback.start(texture, size) });
    }
    // One snapshot after the other: an earlier one never overwrites a later one.
    const before = this.running?.catch(() => {});
    const running = (async () => {
      const copies = await Promise.all(changed.map(({ read }) => read.finish()));
      await before;
      changed.forEach(({ buffer, version }, i) => {
        this.saved.set(buffer, { raw: copies[i], version });
      });
      this.count++;
    })();
    this.running = running;
    const done = () => {
      if (this.running === running) this.running = undefined;
    };
    running.then(done, done);
    return running;
  }

  /** Keeps what the host has just written. */
  noteWritten(buffer: WebglBuffer, raw: ArrayBuffer): void {
    this.saved.set(buffer, { raw, version: buffer.version });
  }

  /** The values to restore a buffer from. */
  of(buffer: WebglBuffer): Saved | undefined {
    return this.saved.get(buffer);
  }
}
