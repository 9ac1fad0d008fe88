/** Chromium on the software rasteriser that comes with it: where every machine can run WebGL2. */
import { caseSuite } from "./suite.js";

await caseSuite("swiftshader", ["wasm-simd", "wasm-relaxed"]);
