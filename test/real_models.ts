/**
 * Pretrained models of others, which are no part of this repository: tests use them where they are, and say which they left out.
 * WATTGRAD_REAL_MODELS names the folder, by default `.cache/wattgrad-tests/real-models` in the user's home: one folder for a model.
 */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const folder = process.env.WATTGRAD_REAL_MODELS ?? join(homedir(), ".cache", "wattgrad-tests", "real-models");

export interface RealModel {
  readonly path: string;
  /** Why tests of it are left out; undefined where it is there. */
  readonly missing: string | undefined;
}

/** A file of a model, or its folder. */
export function realModel(model: string, file = ""): RealModel {
  const path = join(folder, model, file);
  return { path, missing: existsSync(path) ? undefined : `(left out: there is no ${path})` };
}
