/** The peer libraries and how Node or a page loads them. */
import type { Backend } from "../contender.js";
import type { Jax } from "./jax_library.js";
import type { OnnxRuntime } from "./onnxruntime_library.js";
import type { Tensorflow } from "./tensorflow_library.js";

/** A library's packages by the name of its main package. */
export const peerPackages = {
  tfjs: ["@tensorflow/tfjs", "@tensorflow/tfjs-backend-wasm"],
  "onnxruntime-web": ["onnxruntime-web"],
  "jax-js": ["@jax-js/jax"],
} as const;
export type PeerName = keyof typeof peerPackages;

/** Installed versions. */
export type PeerVersions = Readonly<Record<PeerName, string>>;

/** A library and its configured number of threads. */
export interface Loaded<T> {
  readonly library: T;
  readonly threads: number;
}

/** Loads each library at most once. `threads` applies to its WebAssembly backend. */
export interface Libraries {
  readonly versions: PeerVersions;
  tensorflow(): Promise<Tensorflow>;
  onnxRuntime(backend: Backend): Promise<Loaded<OnnxRuntime>>;
  jax(): Promise<Loaded<Jax>>;
}
