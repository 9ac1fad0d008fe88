/** The published package: its sub-paths, and the parts that bundlers may drop. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
let directory = "";

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "wattgrad-consumer-"));
  await mkdir(join(directory, "node_modules"));
  await symlink(root, join(directory, "node_modules", "wattgrad"), "dir");
});

afterAll(() => rm(directory, { recursive: true }));

/** Bundles a program that uses the installed package, runs the bundle, and returns what it prints. */
async function bundled(program: string): Promise<{ output: string; bytes: number; text: string }> {
  const path = join(directory, "bundle.mjs");
  const { outputFiles } = await build({
    stdin: { contents: program, resolveDir: directory },
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    write: false,
    external: ["node:*"],
    logLevel: "silent",
  });
  await writeFile(path, outputFiles[0].contents);
  return {
    output: execFileSync(process.execPath, [path], { encoding: "utf8" }).trim(),
    bytes: outputFiles[0].contents.length,
    text: outputFiles[0].text,
  };
}

describe("bundled by esbuild, which trusts sideEffects: false", () => {
  test("a training that imports wattgrad and wattgrad/nn has backward() and the other methods", async () => {
    const { output } = await bundled(`
      import { openDevice } from "wattgrad";
      import { Linear } from "wattgrad/nn";
      const device = await openDevice("reference");
      const layer = new Linear(3, 2, { device });
      const [weight] = layer.parameters();
      weight.square().sum().backward();
      console.log((await weight.grad.data()).length, (await weight.tolist()).length);
    `);
    expect(output).toBe("6 2");
  });

  test("meters reach Node's modules without an import, so that a page can load them", async () => {
    const { output, text } = await bundled(`
      import { measure } from "wattgrad/energy";
      const { energy } = await measure(() => { for (const end = Date.now() + 20; Date.now() < end; ); });
      console.log(energy.joules > 0, energy.kind);
    `);
    expect(output).toMatch(/^true (measured|modelled|assumed)$/);
    expect(text).not.toMatch(/\bfrom ?"node:|import ?"node:|require\(/);
  });

  test("what is not used is left out", async () => {
    const { bytes } = await bundled(`
      import { CharTokenizer } from "wattgrad/formats";
      console.log(CharTokenizer.fromText("ab").size);
    `);
    expect(bytes).toBeLessThan(4000);
  });
});

test("every path that package.json exports is there, with its types", () => {
  const { exports, bin, types } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const files = Object.values({ ...exports, bin, types }).flatMap((entry) =>
    typeof entry === "string" ? [entry] : Object.values((entry ?? {}) as Record<string, string>),
  );
  expect(files.length).toBeGreaterThan(7);
  for (const file of files) {
    // Declarations are built by `npm ci` and `npm run build`, not before each test run.
    if (file.startsWith("./dist/types/") && !existsSync(join(root, "dist", "types"))) continue;
    expect(existsSync(join(root, file)), file).toBe(true);
  }
});

test("what is packed has no scripts, and package.json comes back", async () => {
  const here = join(directory, "packed");
  await mkdir(here);
  const manifest = await readFile(join(root, "package.json"), "utf8");
  await writeFile(join(here, "package.json"), manifest);
  const run = (step: string) =>
    execFileSync(process.execPath, [join(root, ".ci", "manifest.mjs"), step, here]);
  run("strip");
  const packed = JSON.parse(await readFile(join(here, "package.json"), "utf8"));
  expect(packed).not.toHaveProperty("scripts");
  expect(packed).not.toHaveProperty("devDependencies");
  expect(packed).toMatchObject({
    exports: expect.anything(),
    peerDependenciesMeta: { puppeteer: { optional: true } },
  });
  // With "!" what is left out.
  const wanted: string[] = packed.files.filter((file: string) => !file.startsWith("!"));
  for (const file of wanted) expect(existsSync(join(root, file)), file).toBe(true);
  run("restore");
  expect(await readFile(join(here, "package.json"), "utf8")).toBe(manifest);
  expect(await readdir(here)).toEqual(["package.json"]);
});

// Declarations are built by `npm ci` and `npm run build`, not before each test run.
test.runIf(existsSync(join(root, "dist", "types")))(
  "types need neither Node's nor the DOM's nor skipLibCheck",
  async () => {
    const { exports } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
    const rooms = Object.keys(exports).filter((path) => !path.endsWith(".wasm"));
    const imports = rooms.map((path, i) => `export * as room${i} from "wattgrad${path.slice(1)}";`);
    await writeFile(join(directory, "types.mts"), imports.join("\n"));
    const options = ["--strict", "--noEmit", "--module", "nodenext", "--target", "es2022", "--lib", "es2022"];
    const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
    const args = [compiler, ...options, "--skipLibCheck", "false", "types.mts"];
    const { status, stdout } = spawnSync(process.execPath, args, { cwd: directory, encoding: "utf8" });
    expect([status, stdout]).toEqual([0, ""]);
  },
);
