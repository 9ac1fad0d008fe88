/**
 * The public docstrings: every export has one, every function, class and constant shows an example, and each example
 * type-checks, runs on wasm, and shows the values that it has.
 */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { manualSeed, openDevice, setDefaultDevice } from "../src/index.js";
import { type ExampleProgram, type Expect, instrumented, runnable, typedModule } from "./examples/program.js";
import { difference } from "./examples/shown.js";
import { compilerOptions, readSurface } from "./examples/surface.js";

const symbols = readSurface();
const byName = new Map(symbols.map((symbol) => [symbol.name, symbol]));
const programs: readonly ExampleProgram[] = symbols.flatMap((symbol) =>
  symbol.examples.map((text) => {
    const identifiers = new Set(text.match(/[A-Za-z_]\w*/g));
    const names = [...identifiers].flatMap((name) => byName.get(name) ?? []);
    return { symbol, text, names };
  }),
);

test("every public symbol has a docstring", () => {
  const bare = symbols.filter(({ text }) => text.trim() === "");
  expect(bare.map(({ name, place }) => `${name} (${place})`)).toEqual([]);
});

test("every public function, class and constant shows an example", () => {
  const bare = symbols.filter(({ isValue, examples }) => isValue && examples.length === 0);
  expect(bare.map(({ name, place }) => `${name} (${place})`)).toEqual([]);
});

test("the examples type-check", () => {
  const path = join(import.meta.dirname, "examples", "all.ts");
  const options: ts.CompilerOptions = {
    ...compilerOptions(),
    noUnusedLocals: false,
    noUnusedParameters: false,
    verbatimModuleSyntax: false,
    allowImportingTsExtensions: true,
  };
  const host = ts.createCompilerHost(options, true);
  const { getSourceFile, fileExists } = host;
  host.fileExists = (name) => name === path || fileExists(name);
  host.getSourceFile = (name, target) =>
    name === path
      ? ts.createSourceFile(name, typedModule(programs), target, true)
      : getSourceFile(name, target);
  const program = ts.createProgram([path], options, host);
  const source = program.getSourceFile(path)!;
  const lines = source.text.split("\n");
  const wrong = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map(
    ({ start, messageText }) => {
      const { line } = source.getLineAndCharacterOfPosition(start!);
      const [, place] = lines
        .slice(0, line + 1)
        .findLast((text) => text.includes("() { // "))!
        .split(" // ");
      return `${place}: ${lines[line]}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`;
    },
  );
  expect(wrong).toEqual([]);
});

describe("the example of", () => {
  const before = process.cwd();
  let directory = "";
  const scope: Record<string, unknown> = {};

  beforeAll(async () => {
    for (const entry of new Set(symbols.map(({ entry }) => entry))) Object.assign(scope, await import(entry));
    // As in a project that has installed the package.
    directory = mkdtempSync(join(tmpdir(), "wattgrad-examples-"));
    mkdirSync(join(directory, "node_modules"));
    symlinkSync(before, join(directory, "node_modules", "wattgrad"), "dir");
    process.chdir(directory);
    const device = await openDevice("wasm");
    setDefaultDevice(device);
  });

  afterAll(() => {
    process.chdir(before);
    rmSync(directory, { recursive: true });
  });

  test.each(
    programs.map((program) => ({ ...program, title: `${program.symbol.name} (${program.symbol.place})` })),
  )("$title", async ({ text, names }) => {
    const { code, shows } = instrumented(text);
    expect(shows, "an example shows a value").toBeGreaterThan(0);
    const values = names.filter(({ isValue }) => isValue).map(({ name }) => name);
    const program = new Function("expectValue", ...values, runnable(code));
    manualSeed(0);
    await program(expectValue, ...values.map((name) => scope[name]));
  });
});

const expectValue: Expect = async (compute, shown) => {
  const thrown = /^throws (\w+)$/.exec(shown)?.[1];
  let value: unknown;
  try {
    value = await compute();
    if (
      typeof (value as { tolist?: unknown } | undefined)?.tolist === "function" &&
      shown.match(/^[[\d−-]|^true|^false|^NaN/)
    ) {
      value = await (value as { tolist(): Promise<unknown> }).tolist();
    }
  } catch (error) {
    if (thrown === undefined) throw error;
    expect((error as Error).name).toBe(thrown);
    return;
  }
  expect(thrown, "nothing is thrown").toBeUndefined();
  expect(difference(value, shown)).toBeUndefined();
};
