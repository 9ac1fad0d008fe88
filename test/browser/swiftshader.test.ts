/**
 * Chromium on its own software rasterizer, available on every machine. In two files (see storages.test.ts), because each uses about one
 * core.
 */
import { caseSuite } from "./suite.js";

await caseSuite("swiftshader", { webgl: "all", "webgl-narrow": "first" });
