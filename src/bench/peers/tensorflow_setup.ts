/** Settings of tfjs that must precede the opening of its first backend. */
import type { Tensorflow } from "./tensorflow_library.js";

/** The two loaded packages. */
export interface TensorflowParts {
  readonly tf: Omit<Tensorflow, "getThreadsCount"> & {
    enableProdMode(): void;
    env(): { set(flag: string, value: boolean): void };
  };
  readonly wasm: {
    setWasmPaths(prefix: string): void;
    setThreadsCount(threads: number): void;
    getThreadsCount(): number;
  };
}

/** @param directory of the WebAssembly backend's binaries, ends in a slash. */
export function configureTensorflow(
  { tf, wasm }: TensorflowParts,
  directory: string,
  threads: number,
): Tensorflow {
  // No NaN check of each result.
  tf.enableProdMode();
  wasm.setWasmPaths(directory);
  wasm.setThreadsCount(threads);
  // One thread selects the binary without threads, which starts no workers.
  if (threads === 1) tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", false);
  return { ...tf, getThreadsCount: () => wasm.getThreadsCount() };
}
