/** The output of webgl.mjs. */
import { median } from "./measure.mjs";

/** How many times tfjs's time ours has to fit into it, by kind of driver; a real GPU has no bar. */
const bars = {
  gemm: { swiftshader: 1.6, llvmpipe: 1.1 },
  conv: { swiftshader: 3, llvmpipe: 2 },
  chain: { swiftshader: 4, llvmpipe: 4 },
  train: { swiftshader: 3, llvmpipe: 3 },
};
const firstStepBar = 3;

/**
 * Adds { ratio, bestRatio, pairedRatio, cpuRatio, ratioToOrt, firstRatio, firstCpuRatio, bar } to the rows: tfjs's
 * times by ours. `pairedRatio` is the median over the rounds of the ratio within a round.
 */
export function addRatios({ renderer, rows }) {
  const driver = /SwiftShader/.test(renderer) ? "swiftshader" : /llvmpipe/.test(renderer) ? "llvmpipe" : "";
  for (const row of rows) {
    const { ours, tfjs, ort } = row.contenders;
    const ratio = (peer, key) => (ours?.[key] && peer?.[key] ? peer[key] / ours[key] : null);
    row.ratio = ratio(tfjs, "ms");
    row.bestRatio = ratio(tfjs, "bestMs");
    const rounds = ours?.times?.length === tfjs?.times?.length ? (ours?.times ?? []) : [];
    row.pairedRatio = rounds.length > 0 ? median(rounds.map((time, i) => tfjs.times[i] / time)) : null;
    row.cpuRatio = ratio(tfjs, "cpuMs");
    row.ratioToOrt = ratio(ort, "ms");
    row.firstRatio = row.group === "train" ? ratio(tfjs, "firstMs") : null;
    row.firstCpuRatio = row.group === "train" ? ratio(tfjs, "firstCpuMs") : null;
    row.bar = bars[row.group][driver] ?? null;
  }
}

const milliseconds = (value) =>
  value === undefined ? "–" : value >= 1000 ? value.toFixed(0) : value.toPrecision(3);
const factor = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));
const verdict = (value, bar) => (value === null || bar === null ? "" : value >= bar ? "yes" : "NO");

function print(columns, rows) {
  const all = [columns, ...rows];
  const widths = columns.map((_, i) => Math.max(...all.map((row) => String(row[i]).length)));
  for (const row of all) {
    console.log(
      row
        .map((cell, i) => (i === 0 ? String(cell).padEnd(widths[i]) : String(cell).padStart(widths[i])))
        .join("  "),
    );
  }
}

export function printReport({ commit, renderer, browser, contenders, errors, rows }) {
  console.log(`\n${renderer}\n${browser ?? ""} wattgrad ${commit}; ${Object.values(contenders).join("; ")}`);
  console.log(
    "ms: median (best); ratios: tfjs / ours, by medians (by bests), within rounds, by processor time\n",
  );
  const time = (side) =>
    side?.ms === undefined ? "–" : `${milliseconds(side.ms)} (${milliseconds(side.bestMs)})`;
  print(
    ["", "ours", "tfjs", "ort", "ratio", "in rounds", "processor", "bar", "held", "to ort"],
    rows.map(
      ({
        name,
        contenders: { ours, tfjs, ort },
        ratio,
        bestRatio,
        pairedRatio,
        cpuRatio,
        ratioToOrt,
        bar,
      }) => [
        name,
        time(ours),
        time(tfjs),
        time(ort),
        `${factor(ratio)} (${factor(bestRatio)})`,
        factor(pairedRatio),
        factor(cpuRatio),
        bar ?? "–",
        verdict(ratio, bar),
        factor(ratioToOrt),
      ],
    ),
  );
  const trained = rows.filter(({ group }) => group === "train");
  if (trained.length > 0) {
    console.log("\nThe first step of a training, shaders compiled; opening the device is not in it\n");
    print(
      [
        "",
        "ours",
        "tfjs",
        "ratio",
        "processor",
        "bar",
        "held",
        "second: ours",
        "tfjs",
        "open: ours",
        "tfjs",
        "submit",
        "losses differ",
      ],
      trained.map(({ name, contenders: { ours, tfjs }, firstRatio, firstCpuRatio }) => [
        name,
        milliseconds(ours?.firstMs),
        milliseconds(tfjs?.firstMs),
        factor(firstRatio),
        factor(firstCpuRatio),
        firstStepBar,
        verdict(firstRatio, firstStepBar),
        milliseconds(ours?.secondMs),
        milliseconds(tfjs?.secondMs),
        milliseconds(ours?.openMs),
        milliseconds(tfjs?.openMs),
        milliseconds(ours?.submitMs),
        [ours, tfjs].map((side) => side?.difference.toExponential(1) ?? "–").join(" / "),
      ]),
    );
  }
  for (const [name, message] of Object.entries(errors)) console.log(`${name} failed: ${message}`);
  for (const row of rows) {
    for (const [name, message] of Object.entries(row.errors)) console.log(`${row.name}, ${name}: ${message}`);
  }
}

/** Passes of the same kind added up. */
function grouped(passes, key) {
  const groups = new Map();
  for (const pass of passes) {
    const group = groups.get(key(pass)) ?? { ...pass, count: 0, ms: 0, bestMs: 0, mflop: 0 };
    group.count++;
    for (const field of ["ms", "bestMs", "mflop"]) group[field] += pass[field];
    groups.set(key(pass), group);
  }
  return [...groups.values()].sort((a, b) => b.ms - a.ms);
}

/** The passes of a row's profile, by name, and by name and size. */
export function printProfile({ name, contenders: { ours }, profile: { passes, idleMs } }, top) {
  const sum = passes.reduce((total, { ms }) => total + ms, 0);
  console.log(
    `\n${name}: ${passes.length} passes, ${sum.toFixed(2)} ms one by one (whole ${milliseconds(ours?.ms)} ms); a wait of ${idleMs.toFixed(3)} ms is taken off each`,
  );
  const cells = ({ name, count, ms, bestMs, mflop }) => [
    name,
    count,
    ms.toFixed(3),
    bestMs.toFixed(3),
    `${((100 * ms) / sum).toFixed(1)} %`,
    ms > 0 ? (mflop / ms).toFixed(2) : "–",
  ];
  print(
    ["by name", "passes", "ms", "best", "share", "GFLOP/s"],
    grouped(passes, ({ name }) => name).map(cells),
  );
  console.log();
  print(
    ["by size", "passes", "ms", "best", "share", "GFLOP/s", "texels", "in", "out"],
    grouped(passes, ({ name, texels, inputs, outputs, mflop }) =>
      [name, texels, inputs, outputs, mflop].join(),
    )
      .slice(0, top)
      .map((group) => [...cells(group), group.texels, group.inputs, group.outputs]),
  );
}
