/** Settings that tfjs wants before its first backend is opened. */
import type { Tensorflow } from "./tensorflow_library.js";

/** The two packages as they are loaded. */
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

/** @param directory with the binaries of the WebAssembly backend, ends in a slash. */
export function configureTensorflow(
  { tf, wasm }: TensorflowParts,
  directory: string,
  threads: number,
): Tensorflow {
  // Without checks of every result.
  tf.enableProdMode();
  wasm.setWasmPaths(directory);
  wasm.setThreadsCount(threads);
  // With one thread it takes the binary that knows of none, which starts no workers.
  if (threads === 1) tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", false);
  return { ...tf, getThreadsCount: () => wasm.getThreadsCount() };
}
