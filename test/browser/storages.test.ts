/**
 * As swiftshader.test.ts, on devices with other storages of floats. Gradients are compared for the first case of each op only: the engine
 * of wasm is that of Node, where all are compared, and storages differ only in how a texel is read.
 */
import { caseSuite } from "./suite.js";

await caseSuite("swiftshader", {
  "webgl-bits": "first",
  "wasm-simd": "first",
  "wasm-relaxed": "first",
  "webgl-half": "first",
});
