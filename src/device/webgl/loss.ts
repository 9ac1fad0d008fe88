/** Losing the context and getting it back, as events of the canvas tell. */
import type { LossReason } from "../device.js";
import { contextLost } from "./readback.js";

export class ContextLoss {
  /** Resolves at the first loss. */
  readonly lost: Promise<LossReason>;
  private waiting: (() => void)[] = [];
  /** Set from the loss until everything is restored. */
  private isDown = false;
  private readonly listeners = new AbortController();

  /** @param comesBack whether the browser is asked to restore the context; `restore` rebuilds what was in it. */
  constructor(
    private readonly gl: WebGL2RenderingContext,
    private readonly comesBack: boolean,
    restore: () => void,
  ) {
    const { signal } = this.listeners;
    // Contexts outside of browsers may have no canvas, and are not lost.
    const canvas: EventTarget | undefined = gl.canvas;
    this.lost = new Promise((resolve) => {
      canvas?.addEventListener?.(
        "webglcontextlost",
        (event) => {
          this.isDown = true;
          if (comesBack) event.preventDefault();
          resolve({ message: "the browser or the driver took the WebGL context away" });
        },
        { signal },
      );
    });
    canvas?.addEventListener?.(
      "webglcontextrestored",
      () => {
        restore();
        this.isDown = false;
        for (const resolve of this.waiting.splice(0)) resolve();
      },
      { signal },
    );
  }

  get isLost(): boolean {
    return this.isDown || this.gl.isContextLost();
  }

  /** @throws DeviceLostError if nobody asked for the context to be restored. */
  async recovered(): Promise<void> {
    if (!this.isLost) return;
    if (!this.comesBack) throw contextLost();
    await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  close(): void {
    this.listeners.abort();
  }
}
