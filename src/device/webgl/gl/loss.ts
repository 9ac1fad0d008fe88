/**
 * Loss and restoration of the context, from the canvas's events. A loss is sticky: even if the browser has restored the context, the
 * device counts as lost until the device is restored.
 */
import { DeviceError, DeviceLostError } from "../../../core/errors.js";
import type { LossReason } from "../../device.js";

/** Timeout in ms for the browser to restore the context. */
const longestWait = 60_000;

const reason: LossReason = { message: "the browser or the driver took the WebGL context away" };

interface Waiting {
  resolve(): void;
  reject(error: Error): void;
}

export class ContextLoss {
  /** Resolves at the next loss. */
  lost: Promise<LossReason>;
  private resolveLost!: (reason: LossReason) => void;
  private isDown = false;
  private readonly waiting = new Set<Waiting>();
  private readonly listeners = new AbortController();

  constructor(private readonly gl: WebGL2RenderingContext) {
    this.lost = this.nextLoss();
    const { signal } = this.listeners;
    // Contexts outside browsers may have no canvas; they are never lost.
    const canvas: EventTarget | undefined = gl.canvas;
    canvas?.addEventListener?.(
      "webglcontextlost",
      (event) => {
        // Required: otherwise the browser does not restore the context.
        event.preventDefault();
        this.isDown = true;
        this.resolveLost(reason);
      },
      { signal },
    );
    canvas?.addEventListener?.(
      "webglcontextrestored",
      () => {
        for (const { resolve } of this.waiting) resolve();
      },
      { signal },
    );
  }

  get isLost(): boolean {
    return this.isDown || this.gl.isContextLost();
  }

  /** Resolves when the browser has restored the context, which is then empty. @throws DeviceLostError after the timeout. */
  async contextBack(): Promise<void> {
    while (this.gl.isContextLost()) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      let own: Waiting | undefined;
      try {
        await new Promise<void>((resolve, reject) => {
          own = { resolve, reject };
          this.waiting.add(own);
          timer = setTimeout(() => reject(notRestored()), longestWait);
        });
      } finally {
        clearTimeout(timer);
        this.waiting.delete(own!);
      }
    }
  }

  /** Ends the loss: the device's buffers are restored. */
  restored(): void {
    this.isDown = false;
    this.lost = this.nextLoss();
  }

  close(): void {
    this.listeners.abort();
    for (const { reject } of this.waiting)
      reject(new DeviceError("the device is closed", { device: "webgl" }));
  }

  private nextLoss(): Promise<LossReason> {
    return new Promise((resolve) => {
      this.resolveLost = resolve;
    });
  }
}

export function contextLost(): DeviceLostError {
  return new DeviceLostError("the WebGL context was lost", {
    device: "webgl",
    hint: "await device.recovery.restore() to go on from the last snapshot, or open another device",
  });
}

function notRestored(): DeviceLostError {
  return new DeviceLostError(
    `the browser has not restored the WebGL context within ${longestWait / 1000} s`,
    {
      device: "webgl",
      hint: "reload the page, or open the wasm device",
    },
  );
}
