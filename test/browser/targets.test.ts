/** Products and attention on devices with few render targets. */
import { caseSuite } from "./suite.js";

await caseSuite("swiftshader", { "webgl-4-targets": "all", "webgl-1-target": "all" }, [
  "linalg",
  "attention",
]);
