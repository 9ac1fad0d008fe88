/** Every program in the README runs, and every option named there exists. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { transform } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run } from "./cli/wattgrad.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const readme = readFileSync(join(root, "README.md"), "utf8");
const execute = promisify(execFile);

interface Block {
  readonly language: string;
  readonly text: string;
  /** In the README, for the test's name. */
  readonly line: number;
}

const blocks: readonly Block[] = [...readme.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map((match) => ({
  language: match[1],
  text: match[2],
  line: readme.slice(0, match.index).split("\n").length + 1,
}));

/** The modules of a page. */
function scripts(html: string): string {
  return [...html.matchAll(/<script type="module">(.*?)<\/script>/gs)].map(([, script]) => script).join("\n");
}

let directory = "";

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "wattgrad-readme-"));
  await mkdir(join(directory, "node_modules"));
  await symlink(root, join(directory, "node_modules", "wattgrad"), "dir");
});

afterAll(() => rm(directory, { recursive: true }));

describe("the programs of the README", () => {
  test("are all in a language that is run here", () => {
    expect(blocks.length).toBeGreaterThan(3);
    for (const { language, line } of blocks) expect(["ts", "html"], `line ${line}`).toContain(language);
  });

  test.each(blocks)("$language in line $line", async ({ language, text, line }) => {
    const program = language === "html" ? scripts(text) : text;
    const path = join(directory, `line-${line}.mjs`);
    await writeFile(path, (await transform(program, { loader: "ts" })).code);
    const { stdout, stderr } = await execute(process.execPath, [path], { cwd: directory });
    expect(stdout).not.toBe("");
    expect(stdout).not.toMatch(/NaN|undefined/);
    expect(stderr).toBe("");
  });

  test.each(blocks.filter(({ language }) => language === "html"))(
    "modules that the page in line $line maps are there",
    ({ text }) => {
      const [, map] = /<script type="importmap">(.*?)<\/script>/s.exec(text) ?? [];
      const files = Object.values(JSON.parse(map).imports as Record<string, string>);
      for (const file of files) expect(existsSync(join(directory, file)), file).toBe(true);
    },
  );
});

test("the options that the README names are those of the commands", async () => {
  const lines = readme.split("\n").filter((line) => line.startsWith("    npx wattgrad "));
  expect(lines.length).toBeGreaterThan(2);
  for (const line of lines) {
    const [, command, rest] = /npx wattgrad (\w+)(.*)/.exec(line) ?? [];
    const { stdout } = await run([command, "--help"], directory);
    for (const option of rest.match(/--[\w-]+/g) ?? []) expect(stdout, line).toContain(option);
  }
});

test("files and folders that the README names are there", () => {
  const named = [...readme.matchAll(/`((?:src|test|assembly)\/[\w/.]*)`|\]\(([\w/.]+)\)/g)];
  expect(named.length).toBeGreaterThan(10);
  for (const [, code, link] of named) expect(existsSync(join(root, code ?? link)), code ?? link).toBe(true);
});
