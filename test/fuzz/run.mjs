/** `npm run fuzz -- [runs] [seed] [reader]`: 10^6 damaged inputs for each reader, and a table of the outcomes. */
import { mkdtempSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import Table from "cli-table3";
import { build } from "esbuild";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const [runs = "1e6", seed = String(Date.now() % 1e9), only] = process.argv.slice(2);
// Beside node_modules, in which imports are looked for.
const directory = mkdtempSync(join(root, "dist", ".fuzz-"));
const table = new Table({
  head: ["reader", "runs", "typed errors", "accepted", "slowest, ms", "largest, B"],
  style: { head: [], border: [] },
});
try {
  const outfile = join(directory, "fuzz.mjs");
  await build({
    absWorkingDir: root,
    entryPoints: ["test/fuzz/fuzz.ts"],
    outfile,
    bundle: true,
    packages: "external",
    format: "esm",
    platform: "node",
    loader: { ".glsl": "text" },
    ignoreAnnotations: true,
  });
  const { fuzz } = await import(pathToFileURL(outfile).href);
  console.log(`seed ${seed}`);
  await fuzz(
    Number(runs),
    Number(seed),
    (summary) => {
      const { reader, errors, accepted, slowest, largest, failures } = summary;
      table.push([reader, summary.runs, errors, accepted, slowest.toFixed(1), largest]);
      for (const failure of failures) console.log(`${reader}: ${failure}`);
      if (failures.length > 0) process.exitCode = 1;
    },
    only,
  );
  console.log(table.toString());
} finally {
  rmSync(directory, { recursive: true });
}
