/** The other libraries, and how a place, Node or a page, hands them to their contenders. */
import type { Backend } from "../contender.js";
import type { Jax } from "./jax_library.js";
import type { OnnxRuntime } from "./onnxruntime_library.js";
import type { Tensorflow } from "./tensorflow_library.js";

/** A library's packages by the name of the one that counts. */
export const peerPackages = {
  tfjs: ["@tensorflow/tfjs", "@tensorflow/tfjs-backend-wasm"],
  "onnxruntime-web": ["onnxruntime-web"],
  "jax-js": ["@jax-js/jax"],
} as const;
export type PeerName = keyof typeof peerPackages;

/** Which versions are there. */
export type PeerVersions = Readonly<Record<PeerName, string>>;

/** A library, and how many threads it was told to use. */
export interface Loaded<T> {
  readonly library: T;
  readonly threads: number;
}

/** Loads each library at most once. Threads are those of its WebAssembly backend. */
export interface Libraries {
  readonly versions: PeerVersions;
  tensorflow(): Promise<Tensorflow>;
  onnxRuntime(backend: Backend): Promise<Loaded<OnnxRuntime>>;
  jax(): Promise<Loaded<Jax>>;
}
