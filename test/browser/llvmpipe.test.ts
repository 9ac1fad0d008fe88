/** Chromium on Mesa's software rasteriser: a second driver, with other roundings, limits and orders. */
import { caseSuite } from "./suite.js";

await caseSuite("llvmpipe", { webgl: "all" });
