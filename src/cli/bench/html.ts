/** The file that `wattgrad bench --html` writes. */
import { labelOf } from "../../bench/index.js";
import type { ReportData, Roof } from "../../bench/report/data.js";
import { reportPage } from "../report_page.js";
import type { BenchFile } from "./file.js";

/** @throws FileError if the page was not built. */
export function benchHtml(file: BenchFile): Promise<string> {
  return reportPage("page", "wattgrad bench", reportData(file));
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
