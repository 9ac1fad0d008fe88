/**
 * Two builds of wattgrad side by side, every case of `wattgrad bench` in turns in one process, and the ratio of their times.
 *
 *     node [--experimental-wasm-relaxed-simd] builds.mjs BASE NEW [--cases REGEXP] [--rounds 9] [--milliseconds 100] [--json FILE]
 *
 * BASE and NEW are roots of built checkouts. A ratio above 1 means that NEW is faster; the median over rounds of the times of
 * neighbouring turns, because the machine's speed drifts. Both builds' sources are bundled, so that private parts can be used.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { median } from "./measure.mjs";
import { loadSource } from "./source.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    cases: { type: "string", default: "." },
    rounds: { type: "string", default: "9" },
    milliseconds: { type: "string", default: "100" },
    json: { type: "string" },
  },
});
if (positionals.length !== 2) {
  console.error("usage: node builds.mjs BASE NEW [--cases REGEXP] [--rounds 9] [--milliseconds 100] [--json FILE]");
  process.exit(2);
}
const milliseconds = Number(values.milliseconds);

/** The benchmarks of a checkout: its cases, and its wasm device as a contender. */
const benchmarks = `
  export { openOurs } from "./src/bench/ours.ts";
  export { cases } from "./src/bench/suites.ts";
  import "./src/ops/methods.ts";`;

/** Milliseconds of one run, over `repeats` runs. */
async function turn(work, repeats) {
  work.begin?.();
  const start = performance.now();
  for (let i = 0; i < repeats; i++) await work.run();
  await work.finish();
  return (performance.now() - start) / repeats;
}

const builds = [];
for (const root of positionals) {
  const { openOurs, cases } = await loadSource(root, benchmarks);
  builds.push({ cases, contender: await openOurs("wasm") });
}
console.log(`${builds[1].contender.description}; ratio above 1: the second is faster`);
const rows = [];
for (const { suite, name, problem } of builds[1].cases) {
  if (!new RegExp(values.cases).test(`${suite} ${name}`)) continue;
  const works = [];
  for (const { contender } of builds) works.push(await contender.build(problem));
  for (const work of works) for (let i = 0; i < 2; i++) await turn(work, 1);
  const once = await turn(works[0], 1);
  const repeats = Math.max(1, Math.min(5000, Math.round(milliseconds / once)));
  const times = [[], []];
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const which of round % 2 === 0 ? [0, 1] : [1, 0]) times[which].push(await turn(works[which], repeats));
  }
  for (const work of works) work.close();
  const ratio = median(times[0].map((time, i) => time / times[1][i]));
  const best = Math.min(...times[0]) / Math.min(...times[1]);
  rows.push({ suite, name, base: median(times[0]), new: median(times[1]), ratio, best });
  console.log(
    `${suite.padEnd(12)} ${name.padEnd(48)} ${median(times[0]).toFixed(3).padStart(9)} ms ${median(times[1]).toFixed(3).padStart(9)} ms` +
      `  ratio ${ratio.toFixed(3)}, of the best ${best.toFixed(3)}`,
  );
}
if (values.json) writeFileSync(values.json, `${JSON.stringify(rows, undefined, 2)}\n`);
for (const { contender } of builds) contender.close();
