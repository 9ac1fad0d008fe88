/**
 * Builds dist/: the wasm binaries (one per asconfig.json target), the ESM bundles and the type declarations.
 * `--wasm` builds only the binaries, which is all that the tests need.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, "dist");
const require = createRequire(import.meta.url);
const wasmOnly = process.argv.includes("--wasm");

mkdirSync(dist, { recursive: true });

for (const target of ["simd", "relaxed"]) {
  const asc = join(dirname(require.resolve("assemblyscript/package.json")), "bin", "asc.js");
  execFileSync(process.execPath, [asc, "--config", "asconfig.json", "--target", target], {
    cwd: root,
    stdio: "inherit",
  });
}

if (!wasmOnly) {
  for (const file of readdirSync(dist)) if (file.endsWith(".js")) rmSync(join(dist, file));
  rmSync(join(dist, "types"), { recursive: true, force: true });
  const rooms = ["nn", "optim", "data", "train", "models", "formats"];
  const entries = { index: "src/index.ts", cli: "src/cli/main.ts" };
  for (const room of rooms) entries[room] = `src/${room}/index.ts`;
  for (const [name, file] of Object.entries(entries)) if (!existsSync(join(root, file))) delete entries[name];
  await build({
    absWorkingDir: root,
    entryPoints: entries,
    outdir: "dist",
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "neutral",
    packages: "external",
    external: ["node:*"],
    target: "es2022",
    sourcemap: false,
    minifySyntax: true,
    // Tells src/device/wasm/binaries.ts that the binaries lie beside the bundle.
    define: { WATTGRAD_BUNDLED: "true" },
    ignoreAnnotations: true,
    logLevel: "warning",
  });
  if (existsSync(join(dist, "cli.js"))) chmodSync(join(dist, "cli.js"), 0o755);
  const tsc = join(dirname(require.resolve("typescript/package.json")), "bin", "tsc");
  execFileSync(process.execPath, [tsc, "-p", ".ci/tsconfig.json"], { cwd: root, stdio: "inherit" });
}
