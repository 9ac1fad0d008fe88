/**
 * wattgrad bundled from src as it stands, with the parts of the compiler that profiling wants. The binaries are
 * those of dist/ (`npm run wasm` makes them), so a kernel can be tuned without building the package.
 */
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../../", import.meta.url));
// Three folders below the root, as src/device/wasm is: from there the binaries are found in ../../../dist.
const outfile = fileURLToPath(new URL("./node_modules/wattgrad-source.mjs", import.meta.url));

/** @returns { index, nn, optim, models, profile, cost, operands } */
export async function loadSource() {
  await build({
    absWorkingDir: root,
    stdin: {
      contents: `
        export * as index from "./src/index.ts";
        export * as nn from "./src/nn/index.ts";
        export * as optim from "./src/optim/index.ts";
        export * as models from "./src/models/index.ts";
        export * as profile from "./src/profile/index.ts";
        export * as cost from "./src/kernels/cost.ts";
        export * as operands from "./src/kernels/operands.ts";`,
      resolveDir: root,
      loader: "ts",
    },
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
