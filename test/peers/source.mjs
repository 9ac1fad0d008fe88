/**
 * A checkout of wattgrad bundled from src as it stands, by default this one with the parts of the compiler that profiling needs.
 * The binaries are those of its dist/ (`npm run wasm` makes them), so a kernel can be tuned without building the package.
 */
import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const own = fileURLToPath(new URL("../../", import.meta.url));

const parts = `
  export * as index from "./src/index.ts";
  export * as nn from "./src/nn/index.ts";
  export * as optim from "./src/optim/index.ts";
  export * as models from "./src/models/index.ts";
  export * as profile from "./src/profile/index.ts";
  export * as cost from "./src/kernels/cost.ts";
  export * as operands from "./src/kernels/operands.ts";`;

/**
 * @param root the checkout's folder.
 * @param contents the bundle's entry, a TypeScript module whose paths start at the root; by default it exports index, nn, optim,
 *   models, profile, cost and operands.
 * @returns what `contents` exports.
 */
export async function loadSource(root = own, contents = parts) {
  const folder = resolve(root);
  // Three folders below the root, as src/device/wasm is: from there the binaries are found in ../../../dist.
  const name = `wattgrad-${createHash("sha256").update(contents).digest("hex").slice(0, 8)}.mjs`;
  const outfile = join(folder, "test/peers/node_modules", name);
  await build({
    absWorkingDir: folder,
    stdin: { contents, resolveDir: folder, loader: "ts" },
    outfile,
    bundle: true,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    loader: { ".glsl": "text" },
    external: ["node:*"],
    target: "es2022",
    ignoreAnnotations: true,
    logLevel: "warning",
  });
  return import(pathToFileURL(outfile).href);
}
