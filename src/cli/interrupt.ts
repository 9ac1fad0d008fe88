/** Ctrl-C: the first one requests an orderly end, the second exits at once. */
import { exitCodes, InterruptedError } from "./exit.js";

const signals = ["SIGINT", "SIGTERM"] as const;

export interface Interrupt {
  /** Aborted by the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  /** Restores the default handling of the signals. */
  dispose(): void;
}

/** Listens until `dispose()`; `onFirst` informs the user at the first signal. */
export function listenForInterrupt(onFirst: () => void): Interrupt {
  const controller = new AbortController();
  const listener = () => {
    if (controller.signal.aborted) process.exit(exitCodes.interrupted);
    controller.abort();
    onFirst();
  };
  for (const name of signals) process.on(name, listener);
  return {
    signal: controller.signal,
    dispose() {
      for (const name of signals) process.off(name, listener);
    },
  };
}

/** Runs `work` until its end or the first interrupt. @throws InterruptedError where it was interrupted; what `work` throws. */
export async function whileListening<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const interrupt = listenForInterrupt(() => {});
  try {
    return await work(interrupt.signal);
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    throw new InterruptedError("interrupted");
  } finally {
    interrupt.dispose();
  }
}
