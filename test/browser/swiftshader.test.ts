/** Chromium on the software rasteriser that comes with it: what every machine can run. */
import { caseSuite } from "./suite.js";

// The engine of wasm is that of Node, where every gradient is compared; storages differ in how a texel is read.
await caseSuite("swiftshader", {
  webgl: "all",
  "webgl-bits": "first",
  "webgl-narrow": "first",
  "wasm-simd": "first",
  "wasm-relaxed": "first",
  "webgl-half": "first",
});
