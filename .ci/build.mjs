/**
 * Builds dist/: the wasm binaries (one per asconfig.json target), the playground's page, the ESM bundles and the type
 * declarations. `--wasm` builds only the binaries, `--playground --bundles` what else the tests need.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { generate, hashOfAgreement } from "./agreement.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, "dist");
const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const require = createRequire(import.meta.url);
const all = {
  wasm: buildBinaries,
  playground: buildPlayground,
  report: buildReport,
  bundles: buildBundles,
  types: buildTypes,
};
const chosen = process.argv.slice(2).map((flag) => flag.replace(/^--/, ""));

mkdirSync(dist, { recursive: true });
for (const part of chosen.length > 0 ? chosen : Object.keys(all)) await all[part]();

/** The JavaScript file behind a package's command. */
function command(name, file) {
  return join(dirname(require.resolve(`${name}/package.json`)), "bin", file);
}

function runNode(...args) {
  execFileSync(process.execPath, args, { cwd: root, stdio: "inherit" });
}

async function buildBinaries() {
  await generate();
  for (const target of ["simd", "relaxed"]) {
    runNode(command("assemblyscript", "asc.js"), "--config", "asconfig.json", "--target", target);
    await optimizeAgain(target);
  }
}

/** Runs the compiler's optimizer again, which inlines what its first run made small: 0.35 kB less of a page's 80 after gzip. */
async function optimizeAgain(target) {
  const file = join(dist, `${target}.wasm`);
  const path = createRequire(require.resolve("assemblyscript/package.json")).resolve("binaryen");
  const { default: binaryen } = await import(pathToFileURL(path));
  const module = binaryen.readBinary(readFileSync(file));
  // What asc enables by default, and what it is asked for.
  const { MutableGlobals, SignExt, NontrappingFPToInt, BulkMemory, BulkMemoryOpt, SIMD128, RelaxedSIMD } =
    binaryen.Features;
  const features = MutableGlobals | SignExt | NontrappingFPToInt | BulkMemory | BulkMemoryOpt | SIMD128;
  module.setFeatures(target === "relaxed" ? features | RelaxedSIMD : features);
  binaryen.setOptimizeLevel(3);
  binaryen.setShrinkLevel(1);
  for (let round = 0; round < 3; round++) module.optimize();
  // Once more with locals in another order: 0.1 kB less.
  module.runPasses(["simplify-locals-notee", "coalesce-locals", "simplify-locals", "reorder-locals"]);
  module.optimize();
  // Functions that are called often get short numbers.
  module.runPasses(["reorder-functions"]);
  writeFileSync(file, module.emitBinary());
  module.dispose();
}

/** Tells src/device/wasm/binaries.ts that the binaries lie beside the bundle, and for what they were built. */
async function definitions() {
  return { WATTGRAD_BUNDLED: "true", WATTGRAD_AGREEMENT: String(await hashOfAgreement()) };
}

async function buildBundles() {
  const rooms = [
    "nn",
    "optim",
    "data",
    "train",
    "models",
    "generation",
    "pipeline",
    "formats",
    "hub",
    "text",
    "quantization",
    "adapters",
    "energy",
    "profile",
  ];
  // What commands run in pages as well; no rooms of the package.
  const inPages = {
    bench: "src/bench/index.ts",
    bench_peers: "src/bench/peers/index.ts",
    inference: "src/inference/index.ts",
  };
  const entries = { index: "src/index.ts", cli: "src/cli/main.ts", ...inPages };
  for (const room of rooms) entries[room] = `src/${room}/index.ts`;
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: entries,
    outdir: "dist",
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "neutral",
    // Only what package.json lists as dependencies stays outside; twgl.js is built in, so that pages need no bundler.
    // Browsers are driven where their packages are installed.
    external: ["node:*", ...Object.keys(dependencies), "puppeteer", "@puppeteer/browsers"],
    mainFields: ["module", "main"],
    loader: { ".glsl": "text" },
    target: "es2022",
    sourcemap: false,
    minifySyntax: true,
    define: await definitions(),
    ignoreAnnotations: true,
    metafile: true,
    logLevel: "warning",
  });
  requireOneChunk(metafile, ["src/graph/tensor.ts", "src/ops/methods.ts"]);
  // Chunks carry a hash in their names: those of earlier builds go when the new ones are in place.
  const built = new Set(Object.keys(metafile.outputs).map((path) => basename(path)));
  for (const file of readdirSync(dist)) {
    if (file.endsWith(".js") && !built.has(file)) rmSync(join(dist, file));
  }
  chmodSync(join(dist, "cli.js"), 0o755);
}

/** The page and its worker, with all they need but the wasm binaries and the images. */
async function buildPlayground() {
  const directory = join(dist, "playground");
  rmSync(directory, { recursive: true, force: true });
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: ["index.html", "page.css", "page.ts", "worker.ts"].map((file) => `src/playground/${file}`),
    outdir: "dist/playground",
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "browser",
    external: ["node:*"],
    loader: { ".glsl": "text", ".html": "copy" },
    target: "es2022",
    minify: true,
    // Messages name classes.
    keepNames: true,
    define: await definitions(),
    ignoreAnnotations: true,
    metafile: true,
    logLevel: "warning",
  });
  writeFileSync(join(directory, "licenses.txt"), licenses(Object.keys(metafile.inputs)));
}

/** Scripts and styles that `wattgrad bench --html` and `wattgrad tour` put into their files. */
async function buildReport() {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [
      { in: "src/bench/report/page.css", out: "page" },
      { in: "src/bench/report/page.ts", out: "page" },
      { in: "src/tour/page.css", out: "tour" },
      { in: "src/tour/page.ts", out: "tour" },
    ],
    outdir: "dist/report",
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    minify: true,
    metafile: true,
    logLevel: "warning",
  });
  writeFileSync(join(dist, "report", "licenses.txt"), licenses(Object.keys(metafile.inputs)));
}

/** The licences of the packages whose files were bundled, as they ask for. */
function licenses(inputs) {
  const names = inputs.flatMap((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? []);
  return [...new Set(names)]
    .map((name) => {
      const folder = join(root, "node_modules", name);
      const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
      return `${name}\n\n${readFileSync(join(folder, file), "utf8")}`;
    })
    .join("\n\n");
}

function buildTypes() {
  rmSync(join(dist, "types"), { recursive: true, force: true });
  runNode(command("typescript", "tsc"), "-p", ".ci/tsconfig.json");
}

/**
 * package.json promises `sideEffects: false`: a bundler leaves out a file of which nothing is used. The module that
 * installs Tensor's methods is used by nobody by name, so it has to lie in the same file as the class.
 */
function requireOneChunk(metafile, modules) {
  const holds = ({ inputs }) => modules.every((module) => Object.hasOwn(inputs, module));
  if (Object.values(metafile.outputs).some(holds)) return;
  throw new Error(
    `dist has no file with both ${modules.join(" and ")}; every public room imports the methods`,
  );
}
