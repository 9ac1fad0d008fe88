/** The other libraries, each on its WebAssembly backend and one thread, and proof of which binaries they loaded. */
import fs from "node:fs";
import { createRequire, syncBuiltinESMExports } from "node:module";
import { basename, dirname } from "node:path";

const require = createRequire(import.meta.url);

/** Names of the .wasm files read so far in this process. */
export const binaries = new Set();
for (const name of ["readFile", "readFileSync"]) {
  for (const room of name === "readFile" ? [fs, fs.promises] : [fs]) {
    const original = room[name];
    room[name] = function (path, ...rest) {
      if (/\.wasm$/.test(String(path))) binaries.add(basename(String(path)));
      return original.call(this, path, ...rest);
    };
  }
}
syncBuiltinESMExports();
// onnxruntime-web puts Node's Worker there, which jax-js takes for a browser's and then mixes shared and plain memory.
// With one thread nobody needs it.
Object.defineProperty(globalThis, "Worker", { get: () => undefined, set: () => {} });

/** tfjs on "wasm" or "cpu". */
export async function openTensorflow(backend) {
  const tf = await import("@tensorflow/tfjs");
  if (backend === "wasm") {
    const { setThreadsCount, setWasmPaths } = await import("@tensorflow/tfjs-backend-wasm");
    setWasmPaths(`${dirname(require.resolve("@tensorflow/tfjs-backend-wasm"))}/`);
    setThreadsCount(1);
  }
  if (!(await tf.setBackend(backend))) throw new Error(`tfjs has no ${backend} backend here`);
  await tf.ready();
  return tf;
}

/** onnxruntime-web: SIMD is part of its one CPU binary. */
export async function openOnnxRuntime() {
  const ort = await import("onnxruntime-web");
  ort.env.wasm.numThreads = 1;
  return ort;
}

/** jax-js; its default device is wasm. */
export async function openJax() {
  const jax = await import("@jax-js/jax");
  const devices = await jax.init("wasm");
  if (!devices.includes("wasm")) throw new Error("jax-js has no wasm device here");
  jax.defaultDevice("wasm");
  return jax;
}
