/**
 * What `npm pack` puts into a package has no scripts and no development: `strip` (prepack) keeps package.json aside, `restore`
 * (postpack) brings it back. `prepare`, which builds dist/ in a clone, would be run by nobody there, but is read as if.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = process.argv[3] ?? dirname(dirname(fileURLToPath(import.meta.url)));
const [manifest, aside] = ["package.json", ".package.json.unpacked"].map((name) => join(root, name));

if (process.argv[2] === "restore") {
  if (existsSync(aside)) renameSync(aside, manifest);
} else {
  const text = readFileSync(manifest, "utf8");
  const { scripts: _, devDependencies: __, ...rest } = JSON.parse(text);
  writeFileSync(aside, text);
  writeFileSync(manifest, `${JSON.stringify(rest, undefined, 2)}\n`);
}
