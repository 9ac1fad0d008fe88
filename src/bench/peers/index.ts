/** Other libraries beside wattgrad: what `wattgrad bench --peers` runs, in Node and in pages. */
import "../../ops/methods.js";
import type { Backend, Contender } from "../contender.js";
import type { PeerOpener } from "../run.js";
import { openJax } from "./jax.js";
import type { Libraries, PeerName } from "./libraries.js";
import { openOnnxRuntime } from "./onnxruntime.js";
import { openTensorflow } from "./tensorflow.js";

export { pageLibraries } from "./page.js";

const openers: Readonly<Record<PeerName, (libraries: Libraries, backend: Backend) => Promise<Contender>>> = {
  tfjs: openTensorflow,
  "onnxruntime-web": openOnnxRuntime,
  "jax-js": openJax,
};

/** All libraries on these backends. */
export function peersOf(libraries: Libraries, backends: readonly Backend[]): PeerOpener[] {
  return Object.entries(openers).flatMap(([peer, open]) =>
    backends.map((device) => ({ peer, device, open: () => open(libraries, device) })),
  );
}
