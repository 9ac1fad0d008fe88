/** The file that `wattgrad bench --html` writes: data, script and styles in one page that fetches nothing. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { labelOf } from "../../bench/index.js";
import type { ReportData, Roof } from "../../bench/report/data.js";
import { FileError, reasonOf } from "../../formats/file.js";
import { packageRoot } from "../package.js";
import type { BenchFile } from "./file.js";

/** @throws FileError if the page was not built. */
export async function benchHtml(file: BenchFile): Promise<string> {
  const [script, style, licenses] = await Promise.all(["page.js", "page.css", "licenses.txt"].map(readPart));
  // A text in the data must not end the element that holds it.
  const data = JSON.stringify(reportData(file)).replace(/</g, "\\u003c");
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>wattgrad bench</title>
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

function reportData(file: BenchFile): ReportData {
  const { environment, places, unavailable, rows } = file;
  const devices = places.flatMap(({ where, devices: found }) =>
    Object.entries(found).map(([name, { description }]) => [`${name}, ${where}`, description] as const),
  );
  const roofs = places.flatMap(({ where, rooflines = {} }) =>
    Object.entries(rooflines).map(
      ([device, { peakFlops, peakBandwidth }]): Roof => ({ device, where, peakFlops, peakBandwidth }),
    ),
  );
  const methods = places.map(({ where, meter }) => `${where}: ${meter}`);
  const reasons = rows.flatMap((row) =>
    row.joules !== null && row.joulesReason !== undefined
      ? `${labelOf(row)}, ${row.where}: ${row.joulesReason}`
      : [],
  );
  return {
    title: `wattgrad ${file.wattgrad} bench`,
    facts: [
      ["date", file.date],
      ["suites", file.options.suites.join(", ")],
      ["processor", `${environment.cpu}, ${environment.cores} cores`],
      ["memory", `${(environment.memoryBytes / 2 ** 30).toFixed(1)} GiB`],
      ["system", environment.platform],
      ["load before", environment.load.toFixed(2)],
      ...places.map(({ where, version, renderer }): [string, string] => [
        where,
        renderer === null ? version : `${version}, WebGL by ${renderer}`,
      ]),
      ...devices,
      ...unavailable.map(({ device, where, reason }): [string, string] => [`no ${device}, ${where}`, reason]),
    ],
    rows,
    roofs,
    energyMethods: [...new Set([...methods, ...reasons])],
  };
}
