/** Chromium on the software rasteriser that comes with it: what every machine can run. */
import { caseSuite } from "./suite.js";

await caseSuite("swiftshader", [
  "wasm-simd",
  "wasm-relaxed",
  "webgl",
  "webgl-bits",
  "webgl-half",
  "webgl-narrow",
]);
