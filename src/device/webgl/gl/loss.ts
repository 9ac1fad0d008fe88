/**
 * Losing the context and getting it back, as the canvas's events tell. A loss is sticky: also when the browser has
 * restored the context at once, the device counts as lost until it was restored too.
 */
import { DeviceError, DeviceLostError } from "../../../core/errors.js";
import type { LossReason } from "../../device.js";

/** Milliseconds after which a context that the browser does not restore is given up. */
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
    // Contexts outside of browsers may have no canvas, and are not lost.
    const canvas: EventTarget | undefined = gl.canvas;
    canvas?.addEventListener?.(
      "webglcontextlost",
      (event) => {
        // Without this the browser does not restore it.
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

  /** Resolves when the context is there again, empty. @throws DeviceLostError if that takes too long. */
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

  /** Everything is as it should be again. */
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
