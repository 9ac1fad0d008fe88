/** Builds the pages of the browser suites, with wattgrad and the cases, and copies the wasm binaries. */
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../..", import.meta.url));

const html = `<!doctype html>
<meta charset="utf-8">
<title>wattgrad</title>
<link rel="icon" href="data:,">
<script type="module" src="page.js"></script>
`;

export async function buildPages(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  await build({
    absWorkingDir: root,
    entryPoints: ["test/browser/pages/page.ts", "test/browser/pages/worker.ts"],
    outdir: directory,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "browser",
    external: ["node:*"],
    target: "es2022",
    loader: { ".glsl": "text" },
    define: { WATTGRAD_BUNDLED: "true" },
    // As in .ci/build.mjs: the module that installs Tensor's methods is used by nobody by name.
    ignoreAnnotations: true,
    logLevel: "warning",
  });
  for (const name of ["simd.wasm", "relaxed.wasm"]) {
    await copyFile(join(root, "dist", name), join(directory, name));
  }
  const mnist = join(root, "test/data/mnist");
  await copyFile(join(mnist, "train10k-images-idx3-ubyte.gz"), join(directory, "mnist-images.gz"));
  await copyFile(join(mnist, "train10k-labels-idx1-ubyte.gz"), join(directory, "mnist-labels.gz"));
  await writeFile(join(directory, "index.html"), html);
}
