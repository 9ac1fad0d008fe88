/** The lint rule on imports between folders (.ci/rooms.cjs): it accepts src/ and reports planted violations. */
import { execFileSync, spawnSync } from "node:child_process";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const cruiser = join(root, "node_modules", "dependency-cruiser", "bin", "dependency-cruise.mjs");
const rules = join(root, ".ci", "rooms.cjs");
const parts: string[] = [];

afterEach(async () => {
  for (const directory of parts.splice(0)) await rm(directory, { recursive: true });
});

/** What the rule prints about a project with these files, of which each imports the others that are named. */
async function check(files: Readonly<Record<string, readonly string[]>>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "wattgrad-rooms-"));
  parts.push(directory);
  await copyFile(join(root, "tsconfig.json"), join(directory, "tsconfig.json"));
  for (const [path, imports] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    const lines = imports.map((specifier) => `import type { A } from "${specifier}";`);
    await writeFile(join(directory, path), [...lines, "export interface A {}", ""].join("\n"));
  }
  const { stdout, stderr, status } = spawnSync(process.execPath, [cruiser, "--config", rules, "src"], {
    cwd: directory,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
  });
  expect(stderr).toBe("");
  expect(status === 0).toBe(!/error/.test(stdout));
  return stdout;
}

test("src/ keeps the rule", () => {
  const printed = execFileSync(process.execPath, [cruiser, "--config", rules, "src"], { cwd: root });
  expect(String(printed)).toContain("no dependency violations found");
});

test("an import to a higher folder is an error, of types too", async () => {
  expect(await check({ "src/core/a.ts": ["../kernels/b.js"], "src/kernels/b.ts": [] })).toContain(
    "core-imports-upward: src/core/a.ts",
  );
  expect(await check({ "src/kernels/b.ts": ["../core/a.js"], "src/core/a.ts": [] })).toContain(
    "no dependency",
  );
});

test("a circle is an error, of types too", async () => {
  expect(await check({ "src/core/a.ts": ["./b.js"], "src/core/b.ts": ["./a.js"] })).toContain("circle");
});

test("a device that imports another device, or an op, is an error", async () => {
  const files = { "src/device/wasm/wasm.ts": ["../webgl/webgl.js"], "src/device/webgl/webgl.ts": [] };
  expect(await check(files)).toContain("wasm-imports-more-than-the-contract");
  const ops = { "src/device/webgl/webgl.ts": ["../../ops/add.js"], "src/ops/add.ts": [] };
  expect(await check(ops)).toContain("webgl-imports-more-than-the-contract");
});

test("an import to a higher room of the WebGL device is an error", async () => {
  const files = { "src/device/webgl/gl/a.ts": ["../shader/b.js"], "src/device/webgl/shader/b.ts": [] };
  expect(await check(files)).toContain("webgl-gl-imports-upward");
});

test("a parser that imports more than core, and a folder without a layer, are errors", async () => {
  expect(await check({ "src/formats/a.ts": ["../nn/b.js"], "src/nn/b.ts": [] })).toContain(
    "formats-import-more-than-core",
  );
  expect(await check({ "src/hub/a.ts": ["../ops/b.js"], "src/ops/b.ts": [] })).toContain(
    "hub-imports-more-than-formats",
  );
  expect(await check({ "src/misc/a.ts": ["../core/b.js"], "src/core/b.ts": [] })).toContain(
    "folder-without-layer: src/misc/a.ts",
  );
});
