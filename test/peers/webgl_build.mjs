/** Bundles the page of webgl.mjs, with wattgrad from src, into a folder for any web server. */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../../", import.meta.url));
const here = fileURLToPath(new URL("./", import.meta.url));

/** The commit that src and glsl are of, and whether they were changed since. */
export function commitOfSource() {
  const git = (...words) => execFileSync("git", words, { cwd: root, encoding: "utf8" }).trim();
  const changed = git("status", "--porcelain", "--", "src", "glsl") !== "";
  return `${git("rev-parse", "--short", "HEAD")}${changed ? " with changes" : ""}`;
}

const html = `<!doctype html>
<meta charset="utf-8">
<title>wattgrad beside tfjs on WebGL2</title>
<link rel="icon" href="data:,">
<body></body>
<script type="module" src="webgl_page.js"></script>
`;

/** Writes webgl.html and what it loads; the wasm binaries are those of dist/. */
export async function buildPage(directory) {
  mkdirSync(directory, { recursive: true });
  await build({
    absWorkingDir: root,
    entryPoints: [join(here, "webgl_page.mjs")],
    outdir: directory,
    bundle: true,
    format: "esm",
    platform: "browser",
    external: ["node:*"],
    target: "es2022",
    loader: { ".glsl": "text" },
    define: { WATTGRAD_BUNDLED: "true", WATTGRAD_COMMIT: JSON.stringify(commitOfSource()) },
    // The module that installs Tensor's methods is used by nobody by name.
    ignoreAnnotations: true,
    logLevel: "error",
  });
  for (const name of ["simd.wasm", "relaxed.wasm"]) {
    copyFileSync(join(root, "dist", name), join(directory, name));
  }
  writeFileSync(join(directory, "webgl.html"), html);
}

/** The project's modules that start a browser and serve pages. */
export async function loadBrowser() {
  const outfile = join(here, "node_modules", "wattgrad-browser.mjs");
  await build({
    absWorkingDir: root,
    stdin: {
      contents: `
        export { launchBrowser } from "./src/cli/browser/launch.ts";
        export { serve } from "./src/cli/browser/serve.ts";`,
      resolveDir: root,
      loader: "ts",
    },
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    packages: "external",
    target: "node20",
    logLevel: "error",
  });
  return import(pathToFileURL(outfile).href);
}
