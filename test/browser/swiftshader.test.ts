/**
 * Chromium on the software rasteriser that comes with it: what every machine can run. Two files (see storages.test.ts), as
 * each draws on about one core.
 */
import { caseSuite } from "./suite.js";

await caseSuite("swiftshader", { webgl: "all", "webgl-narrow": "first" });
