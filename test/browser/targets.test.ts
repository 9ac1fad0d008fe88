/** Products and attention on devices with fewer render targets than their shaders like to have. */
import { caseSuite } from "./suite.js";

await caseSuite("swiftshader", ["webgl-4-targets", "webgl-1-target"], ["linalg", "attention"]);
