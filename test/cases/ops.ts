/** Every op by its name, for cases that differ only in the op. */
import * as namespace from "../../src/ops/index.js";

export const ops = { ...namespace };
