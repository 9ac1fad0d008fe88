/**
 * Takes a picture of a page for the README: `node .ci/screenshot.mjs <page.html> <picture.png> [width] [height]`. Without
 * a height the whole page is in it.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [page, picture, width = "900", height] = process.argv.slice(2);
// Beside node_modules, in which its imports are looked for.
const directory = mkdtempSync(join(root, "dist", ".screenshot-"));
try {
  const outfile = join(directory, "launch.mjs");
  await build({
    absWorkingDir: root,
    entryPoints: ["src/cli/browser/launch.ts"],
    outfile,
    bundle: true,
    packages: "external",
    format: "esm",
    platform: "node",
  });
  const { launchBrowser } = await import(pathToFileURL(outfile).href);
  const { browser, close } = await launchBrowser("default");
  try {
    const tab = await browser.newPage();
    await tab.setViewport({ width: Number(width), height: Number(height ?? 800) });
    await tab.goto(pathToFileURL(resolve(page)).href, { waitUntil: "load" });
    // The plots are drawn with the next frame.
    await tab.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn, 200))));
    await tab.screenshot({ path: picture, fullPage: height === undefined });
  } finally {
    await close();
  }
} finally {
  rmSync(directory, { recursive: true });
}
