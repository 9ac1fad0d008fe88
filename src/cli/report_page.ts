/** A report as one file: data, script and styles in a page that fetches nothing. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { FileError, reasonOf } from "../formats/file.js";
import { packageRoot } from "./package.js";

/**
 * `name`: of the script and the styles that the build made.
 *
 * @throws FileError if the page was not built.
 */
export async function reportPage(name: "page" | "tour", title: string, content: object): Promise<string> {
  const parts = [`${name}.js`, `${name}.css`, "licenses.txt"];
  const [script, style, licenses] = await Promise.all(parts.map(readPart));
  // A text in the data must not end the element that holds it.
  const data = JSON.stringify(content).replace(/</g, "\\u003c");
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<link rel="icon" href="data:,">
<!--
${licenses.replace(/--/g, "—")}
-->
<style>${style}</style>
<body>
<main id="report"></main>
<script id="data" type="application/json">${data}</script>
<script type="module">${script.replace(/<\/script/gi, "<\\/script")}</script>
</body>
</html>
`;
}

async function readPart(name: string): Promise<string> {
  const path = join(packageRoot(), "dist", "report", name);
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new FileError(`the report's page is incomplete, cannot read ${path}: ${reasonOf(error)}`, {
      hint: "npm run build makes it",
      cause: error,
    });
  }
}
