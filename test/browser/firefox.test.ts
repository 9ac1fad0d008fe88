/** The cases in Firefox: a different JavaScript and WebAssembly engine, and a different shader translator. */
import { caseSuite } from "./suite.js";

await caseSuite("firefox", { "wasm-simd": "all", "wasm-relaxed": "all", webgl: "first" });
