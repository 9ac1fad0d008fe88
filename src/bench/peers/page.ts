/** Loads the libraries' browser builds in a page, from a folder of the page's server. */

import type { Backend } from "../contender.js";
import type { Jax } from "./jax_library.js";
import type { Libraries, PeerVersions } from "./libraries.js";
import type { OnnxRuntime } from "./onnxruntime_library.js";
import { configureTensorflow, type TensorflowParts } from "./tensorflow_setup.js";

/** Globals defined by tfjs's scripts. */
interface WithTensorflow {
  readonly tf: TensorflowParts["tf"] & { readonly wasm: TensorflowParts["wasm"] };
}

/**
 * @param base URL of the folder of packages, ends in a slash.
 * @param threads for libraries with threads; all but tfjs need a cross-origin isolated page for them.
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

/** Hides workers: jax-js starts one per core at its import, and no library has threads without workers. */
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
