/** onnxruntime-web as a contender: a session for each problem, on its WebAssembly or its WebGL backend. */
import type { Backend, Contender, Work } from "../contender.js";
import type { Problem } from "../problem.js";
import type { Libraries } from "./libraries.js";
import { openPeerMeter } from "./meter.js";
import { onnxModel } from "./onnx.js";
import { fedGraphOf, zeroPoint } from "./onnx_graphs.js";
import type { OnnxRuntime } from "./onnxruntime_library.js";

/** @throws Error if the library cannot be loaded. */
export async function openOnnxRuntime(libraries: Libraries, backend: Backend): Promise<Contender> {
  const { library: ort, threads } = await libraries.onnxRuntime(backend);
  const version = libraries.versions["onnxruntime-web"];
  // Suppresses a warning for each node that falls back to another backend.
  ort.env.logLevel = "error";
  // Four values per texel, which is faster.
  if (backend === "webgl") ort.env.webgl.pack = true;
  const meter = await openPeerMeter(backend);
  return {
    device: backend,
    peer: "onnxruntime-web",
    description: `onnxruntime-web ${version}${
      backend === "wasm" ? "" : ": every run uploads its inputs and downloads its result"
    }`,
    details: { version, threads },
    meter,
    build: (problem) => build(ort, backend, problem),
    close: () => meter?.close(),
  };
}

async function build(ort: OnnxRuntime, backend: Backend, problem: Problem): Promise<Work> {
  const { graph, feeds, amount = 1, step } = fedGraphOf(problem);
  const session = await ort.InferenceSession.create(onnxModel(graph), { executionProviders: [backend] });
  const tensors = Object.fromEntries(
    Object.entries(feeds).map(([name, { type, data, shape }]) => [name, new ort.Tensor(type, data, shape)]),
  );
  return {
    cost: null,
    amount,
    ...(step !== undefined && { step }),
    run: () => session.run(tensors),
    // Each run was awaited already.
    finish: async () => {},
    async result() {
      const { data } = (await session.run(tensors)).Y;
      return step === undefined ? data : Float32Array.from(data, (value) => (value - zeroPoint) * step);
    },
    close() {
      // Not awaited: it only frees the library's own memory.
      void session.release().catch(() => {});
    },
  };
}
