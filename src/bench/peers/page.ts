/** The libraries in a page: their own builds for browsers, from the folder that the page's server has them in. */

import type { Backend } from "../contender.js";
import type { Jax } from "./jax_library.js";
import type { Libraries, PeerVersions } from "./libraries.js";
import type { OnnxRuntime } from "./onnxruntime_library.js";
import { configureTensorflow, type TensorflowParts } from "./tensorflow_setup.js";

/** What tfjs's scripts leave in a page. */
interface WithTensorflow {
  readonly tf: TensorflowParts["tf"] & { readonly wasm: TensorflowParts["wasm"] };
}

/**
 * @param base of URLs, ends in a slash: what is behind it are packages by their names.
 * @param threads for libraries that have them, all but tfjs's only in pages that are cross-origin isolated.
 */
export function pageLibraries(base: string, versions: PeerVersions, threads: number): Libraries {
  setThreads(threads);
  let tensorflow: ReturnType<Libraries["tensorflow"]> | undefined;
  return {
    versions,
    tensorflow() {
      tensorflow ??= loadTensorflow(base, threads);
      return tensorflow;
    },
    async onnxRuntime(backend: Backend) {
      const directory = `${base}onnxruntime-web/dist/`;
      const library: OnnxRuntime = await import(`${directory}ort.${backend}.min.mjs`);
      library.env.wasm.wasmPaths = directory;
      library.env.wasm.numThreads = threads;
      return { library, threads: backend === "wasm" ? threads : 1 };
    },
    async jax() {
      const library: Jax = await import(`${base}@jax-js/jax/dist/index.js`);
      return { library, threads };
    },
  };
}

/** jax-js takes as many workers as there are cores, at its import; without workers no library has threads. */
function setThreads(threads: number): void {
  if (threads === 1) Object.defineProperty(globalThis, "Worker", { value: undefined });
  else Object.defineProperty(navigator, "hardwareConcurrency", { value: threads });
}

async function loadTensorflow(base: string, threads: number) {
  const directory = `${base}@tensorflow/tfjs-backend-wasm/dist/`;
  await loadScript(`${base}@tensorflow/tfjs/dist/tf.min.js`);
  await loadScript(`${directory}tf-backend-wasm.min.js`);
  const { tf } = globalThis as unknown as WithTensorflow;
  return configureTensorflow({ tf, wasm: tf.wasm }, directory, threads);
}

function loadScript(url: string): Promise<void> {
  const script = document.createElement("script");
  script.src = url;
  const loaded = new Promise<void>((resolve, reject) => {
    script.addEventListener("load", () => resolve());
    script.addEventListener("error", () => reject(new Error(`cannot load ${url}`)));
  });
  document.head.append(script);
  return loaded;
}
