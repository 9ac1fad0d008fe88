/** The libraries in Node: their own builds for Node, from the folder that they were installed into. */
import { createRequire } from "node:module";
import { join, sep } from "node:path";
import { pathToFileURL } from "node:url";
import type { Jax } from "../../../bench/peers/jax_library.js";
import type { Libraries, PeerVersions } from "../../../bench/peers/libraries.js";
import { onnxModel } from "../../../bench/peers/onnx.js";
import type { OnnxRuntime } from "../../../bench/peers/onnxruntime_library.js";
import { configureTensorflow } from "../../../bench/peers/tensorflow_setup.js";

/**
 * @param directory with node_modules.
 * @param threads for onnxruntime-web; tfjs and jax-js have none in Node.
 */
export function nodeLibraries(directory: string, versions: PeerVersions, threads: number): Libraries {
  const require = createRequire(join(directory, "package.json"));
  const importFile = (...path: string[]) =>
    import(pathToFileURL(join(directory, "node_modules", ...path)).href);
  const showWorker = hideWorker();
  return {
    versions,
    async tensorflow() {
      const [tf, wasm] = ["@tensorflow/tfjs", "@tensorflow/tfjs-backend-wasm"].map((name) => require(name));
      const binaries = join(directory, "node_modules", "@tensorflow", "tfjs-backend-wasm", "dist");
      return configureTensorflow({ tf, wasm }, binaries + sep, threads);
    },
    async onnxRuntime() {
      const library: OnnxRuntime = await importFile("onnxruntime-web", "dist", "ort.node.min.mjs");
      library.env.wasm.numThreads = threads;
      if (threads > 1) await showWorker(() => startThreads(library));
      return { library, threads };
    },
    async jax() {
      const library: Jax = await importFile("@jax-js", "jax", "dist", "index.js");
      return { library, threads: 1 };
    },
  };
}

/**
 * onnxruntime-web makes Node's Worker a global, which jax-js takes for a browser's, and then mixes shared memory with memory that is
 * not. From now on it is there only while what `showWorker` is given runs.
 */
function hideWorker(): (work: () => Promise<void>) => Promise<void> {
  let worker: unknown;
  let isShown = false;
  Object.defineProperty(globalThis, "Worker", {
    configurable: true,
    get: () => (isShown ? worker : undefined),
    set: (value) => {
      worker = value;
    },
  });
  return async (work) => {
    isShown = true;
    try {
      await work();
    } finally {
      isShown = false;
    }
  };
}

/** The first session starts the threads of all. */
async function startThreads(ort: OnnxRuntime): Promise<void> {
  const value = { type: "float32", shape: [1] } as const;
  const model = onnxModel({
    inputs: { A: value },
    nodes: [{ op: "Relu", inputs: ["A"], output: "Y" }],
    outputs: { Y: value },
    opset: 13,
  });
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  await session.release();
}
