/** Every op by its name: cases that differ in nothing but the op pick it from here. */
import * as namespace from "../../src/ops/index.js";

export const ops = { ...namespace };
