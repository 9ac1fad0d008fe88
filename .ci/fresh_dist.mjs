/** Before the tests: dist/ holds what src/ says, for the tests that use the package as its users do. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, "dist");

export default function setup() {
  const kernels = filesUnder(join(root, "assembly")).filter((path) => !path.includes("generated"));
  const newestKernel = Math.max(...kernels.map((path) => statSync(path).mtimeMs));
  const binaries = ["simd.wasm", "relaxed.wasm"].every(
    (name) => existsSync(join(dist, name)) && statSync(join(dist, name)).mtimeMs > newestKernel,
  );
  const sources = [
    join(root, "package.json"),
    join(root, ".ci", "build.mjs"),
    ...filesUnder(join(root, "src")),
    ...filesUnder(join(root, "glsl")),
  ];
  const newest = Math.max(...sources.map((path) => statSync(path).mtimeMs));
  const bundles = existsSync(join(dist, "cli.js")) && statSync(join(dist, "cli.js")).mtimeMs > newest;
  const missing = [
    ...(binaries ? [] : ["--wasm"]),
    ...(bundles ? [] : ["--playground", "--report", "--bundles"]),
  ];
  if (missing.length === 0) return;
  execFileSync(process.execPath, [join(root, ".ci", "build.mjs"), ...missing], { stdio: "inherit" });
}

function filesUnder(directory) {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
