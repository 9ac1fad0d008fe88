/** Keeps a loop of promises from starving timers, signals and the page while a device computes on this thread. */

/** Long enough to cost nothing, short enough that a key press or Ctrl-C is noticed at once. */
const turnMilliseconds = 50;

export class TurnTaker {
  #last = performance.now();

  /** Lets the event loop turn if it has not for a while. */
  async yieldIfDue(): Promise<void> {
    if (performance.now() - this.#last < turnMilliseconds) return;
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#last = performance.now();
  }
}
