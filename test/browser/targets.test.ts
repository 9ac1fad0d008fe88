/** Products and attention on devices with fewer render targets than their shaders like to have. */
import { caseSuite } from "./suite.js";

await caseSuite("swiftshader", { "webgl-4-targets": "all", "webgl-1-target": "all" }, [
  "linalg",
  "attention",
]);
