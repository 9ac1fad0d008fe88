/**
 * Writes what src/device/wasm/ and assembly/ must agree on (src/device/wasm/agreement.ts) to assembly/generated/, the table of
 * block loops among it, and gives its hash.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const assembly = join(root, "assembly");
const generated = join(assembly, "generated");

/** The module src/device/wasm/agreement.ts. */
export async function agreement() {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ["src/device/wasm/agreement.ts"],
    bundle: true,
    write: false,
    format: "esm",
    platform: "neutral",
    logLevel: "warning",
  });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
}

/** The hash that loading a binary compares. */
export async function hashOfAgreement() {
  return (await agreement()).hashOfAgreement();
}

/** @throws Error if a loop has no function in assembly/map_*.ts, or two. */
export async function generate() {
  const { namespaces, layouts, beginnings, constants, loops, hashOfAgreement } = await agreement();
  const head = "// Generated from src/device/wasm/agreement.ts by .ci/agreement.mjs.\n";
  const namespace = (name, members, type) =>
    `export namespace ${name} {\n${members.map(([key, value]) => `  export const ${key}: ${type} = ${value};\n`).join("")}}\n`;
  const parts = [
    `export const hash: i32 = ${hashOfAgreement()};\n`,
    ...Object.entries(constants).map(([name, value]) => `export const ${name}: i32 = ${value};\n`),
    ...Object.entries(namespaces).map(([name, members]) => namespace(name, Object.entries(members), "i32")),
    ...Object.entries(layouts).map(([name, text]) => {
      const words = `${beginnings[name] ?? ""} ${text}`.trim().split(" ");
      return namespace(
        name,
        [...words.map((word, i) => [word, 4 * i]), ["bytes", 4 * words.length]],
        "usize",
      );
    }),
  ];
  write("agreement.ts", head + parts.join("\n"));

  const files = readdirSync(assembly).filter((file) => /^map_.*\.ts$/.test(file));
  const owners = new Map();
  for (const file of files) {
    const text = readFileSync(join(assembly, file), "utf8");
    for (const [, name] of text.matchAll(/^export function (\w+)\(d: usize, a: usize/gm)) {
      if (owners.has(name))
        throw new Error(`the block loop ${name} is in assembly/${file} and ${owners.get(name)}`);
      owners.set(name, file);
    }
  }
  const missing = loops.filter((name) => !owners.has(name));
  if (missing.length > 0) throw new Error(`assembly/map_*.ts has no block loop ${missing.join(", ")}`);
  const table = [
    ...files.map((file, i) => `import * as f${i} from "../${file.replace(/\.ts$/, "")}";`),
    "",
    "type Loop = (d: usize, a: usize, b: usize, c: usize, lanes: i32) => void;",
    "",
    "// Called through the table so that each loop stays a function of its own, which engines optimise after a few calls.",
    "export const loops: StaticArray<Loop> = [",
    ...loops.map((name) => `  f${files.indexOf(owners.get(name))}.${name},`),
    "];",
    "",
  ];
  write("loops.ts", head + table.join("\n"));
}

function write(file, text) {
  mkdirSync(generated, { recursive: true });
  writeFileSync(join(generated, file), text);
}
