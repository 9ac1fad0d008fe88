/** Firefox: another JavaScript and WebAssembly engine, and another translator of shaders. */
import { caseSuite } from "./suite.js";

await caseSuite("firefox", { "wasm-simd": "all", "wasm-relaxed": "all", webgl: "first" });
