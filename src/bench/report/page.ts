/** The report of `wattgrad bench --html`: one page that holds its data, its script and its styles, and fetches nothing. */

import { peerSummaries, speedup } from "../ratio.js";
import { energyPlot, lossPlots, rateBars, rooflinePlots } from "./charts.js";
import { type ReportData, sideOf } from "./data.js";
import { element, figure } from "./dom.js";
import { palette } from "./plot.js";

const data: ReportData = JSON.parse(document.getElementById("data")!.textContent!);
const sides = [...new Set(data.rows.map(sideOf))];
const colorOf = palette(sides);
const main = document.getElementById("report")!;
const summaries = peerSummaries(data.rows);

document.title = data.title;
main.append(element("h1", {}, data.title), facts(), legend());
addSection("Beside other libraries").append(...beside());
for (const suite of new Set(data.rows.map((row) => row.suite))) {
  const rows = data.rows.filter((row) => row.suite === suite);
  const section = element("section", { id: suite }, element("h2", {}, suite));
  main.append(section);
  for (const name of new Set(rows.map((row) => row.case))) {
    rateBars(
      section,
      name,
      rows.filter((row) => row.case === name),
      colorOf,
    );
  }
}
rooflinePlots(addSection("Roofline"), data, colorOf);
lossPlots(addSection("Loss"), data.rows, colorOf);
energyPlot(addSection("Energy of a run"), data, colorOf);
addSection("All figures").append(table());
// Empty sections are omitted.
for (const section of main.querySelectorAll("section")) if (section.children.length === 1) section.remove();

function addSection(title: string): HTMLElement {
  const section = element("section", {}, element("h2", {}, title));
  main.append(section);
  return section;
}

function facts(): HTMLElement {
  const list = element("dl", { class: "facts" });
  for (const [label, value] of data.facts) list.append(element("dt", {}, label), element("dd", {}, value));
  return list;
}

function legend(): HTMLElement {
  const list = element("ul", { class: "legend" });
  for (const side of sides) {
    const mark = element("i", {});
    mark.style.background = `var(${colorOf(side).variable})`;
    list.append(element("li", {}, mark, side));
  }
  return list;
}

function times(ratio: number | null): string {
  return ratio === null ? "" : `${figure(ratio)} ×`;
}

/** Empty without other libraries. */
function beside(): HTMLElement[] {
  if (summaries.length === 0) return [];
  const list = element("dl", { class: "facts" });
  for (const { side, speedup: mean, cases, failed } of summaries) {
    const errors = failed === 0 ? "" : `, ${failed} that it could not compute`;
    list.append(
      element("dt", {}, side),
      element("dd", {}, `${mean === null ? "–" : times(mean)} over ${cases} cases${errors}`),
    );
  }
  const note =
    "Its time in wattgrad's on the same kind of device in the same run, geometric mean: 2 × where wattgrad is twice as fast.";
  return [element("p", { class: "note" }, note), list];
}

function table(): HTMLElement {
  const compared = summaries.length > 0 ? ["ours / peer"] : [];
  const heads = [
    "suite",
    "case",
    "where it ran",
    "median, ms",
    "fastest, ms",
    "rate",
    "joules a run",
    "threads",
    ...compared,
  ];
  const body = element("tbody", {});
  for (const row of data.rows) {
    const joules = row.joules === null ? "unknown" : `${figure(row.joules)} ${row.joulesKind}`;
    const cells =
      row.medianMs === null
        ? [row.error ?? "no figures", "", "", "", "", ...compared.map(() => "")]
        : [
            figure(row.medianMs),
            figure(row.minMs!),
            row.rate === null ? "" : `${figure(row.rate)} ${row.unit}`,
            joules,
            String(row.threads),
            ...compared.map(() => times(speedup(row, data.rows))),
          ];
    const texts = [row.suite, row.case, sideOf(row), ...cells];
    body.append(element("tr", {}, ...texts.map((text) => element("td", {}, text))));
  }
  const head = element("thead", {}, element("tr", {}, ...heads.map((text) => element("th", {}, text))));
  return element("div", { class: "scroll" }, element("table", {}, head, body));
}
