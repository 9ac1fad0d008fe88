/**
 * As swiftshader.test.ts, on devices that store floats in another manner. The engine of wasm is that of Node, where every
 * gradient is compared; storages differ in how a texel is read.
 */
import { caseSuite } from "./suite.js";

await caseSuite("swiftshader", {
  "webgl-bits": "first",
  "wasm-simd": "first",
  "wasm-relaxed": "first",
  "webgl-half": "first",
});
