/** Chromium on Mesa's software rasterizer: a second driver, with different rounding, limits and orders. */
import { caseSuite } from "./suite.js";

await caseSuite("llvmpipe", { webgl: "all" });
