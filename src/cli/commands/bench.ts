/** `wattgrad bench`: time, rates and energy of kernels and training steps, in Node and in headless browsers. */
import Table from "cli-table3";
import { Command } from "commander";
import { type BenchRow, type RunOptions, type RunResult, runCases, suiteNames } from "../../bench/index.js";
import { type DeviceName, deviceNames } from "../../device/select.js";
import { formatJoules } from "../../energy/index.js";
import { writeFileAtomic } from "../../formats/index.js";
import { type ColdStart, coldStartRow, coldStartsInNode } from "../bench/coldstart.js";
import { compareRuns, type RunComparison } from "../bench/compare.js";
import { type BenchFile, benchFile, type Place, readBenchFile } from "../bench/file.js";
import { benchHtml } from "../bench/html.js";
import { runInBrowser } from "../bench/page.js";
import { currentLoad } from "../environment.js";
import { DifferenceError } from "../exit.js";
import { integerFrom, jsonOption, listOf, positiveNumber } from "../options.js";
import { requireJsonTarget, requireWritableFile, standardOutput, writeJson } from "../output.js";
import { type PlaceName, whereOption } from "../places.js";

const suites = [...suiteNames, "coldstart", "quick", "all"] as const;
type SuiteChoice = (typeof suites)[number];

interface BenchOptions {
  readonly suite: readonly SuiteChoice[];
  readonly device: readonly DeviceName[];
  readonly where: readonly PlaceName[];
  readonly repeat?: number;
  readonly json?: string;
  readonly html?: string;
}

/** Rounds, and milliseconds of a turn: a quick run of both places takes less than two minutes on two cores. */
const [rounds, turn] = [15, 100];
const [quickRounds, quickTurn] = [25, 40];
/** Fewer tell little about their spread. */
const coldStarts = 9;

const examples = `
Examples:
  wattgrad bench                                  quick, in Node
  wattgrad bench --suite all --json today.json
  wattgrad bench --suite gemm,conv --device wasm,webgl --where node,chromium
  wattgrad bench compare yesterday.json today.json`;

export function benchCommand(): Command {
  const bench = new Command("bench")
    .description("measure kernels and training steps: time, rate, energy")
    .option("--suite <names>", `of ${suites.join(", ")}`, listOf(suites), ["quick"])
    .option("--device <names>", `of ${deviceNames.join(", ")}`, listOf(deviceNames), ["wasm", "webgl"])
    .addOption(whereOption(["node"]))
    .option("--repeat <n>", "rounds, in which all cases take turns", integerFrom(3))
    .addOption(jsonOption())
    .option("--html <file>", "write a report with plots: one page that fetches nothing")
    .addHelpText("after", examples)
    .action(runBench);
  bench.addCommand(compareCommand());
  return bench;
}

async function runBench({ suite, device, where, repeat, json, html }: BenchOptions): Promise<void> {
  await requireTargets(json, html);
  const quick = suite.every((name) => name === "quick");
  const options: RunOptions = {
    suites: suite.filter((name) => name !== "coldstart"),
    devices: device,
    repeat: repeat ?? (quick ? quickRounds : rounds),
    turn: quick ? quickTurn : turn,
    roofline: html !== undefined,
  };
  const starts = suite.some((name) => name === "coldstart" || name === "all" || name === "quick")
    ? coldStarts
    : 0;
  const load = currentLoad();
  const found: Place[] = [];
  const rows: BenchRow[] = [];
  const unavailable: RunResult["unavailable"][number][] = [];
  for (const name of where) {
    process.stderr.write(`wattgrad bench: ${name} …\n`);
    try {
      const run =
        name === "node" ? await runInNode(options, starts) : await runInBrowser(name, options, starts);
      const { rows: measured, unavailable: missing, ...about } = run.result;
      rows.push(...measured);
      for (const [on, times] of Object.entries(run.starts)) {
        const like = measured.find((row) => row.device === on) ?? { threads: 1, simd: null };
        rows.push(coldStartRow(on, name, times, like));
      }
      unavailable.push(...missing);
      found.push({ where: name, version: run.version, renderer: run.renderer, ...about });
    } catch (error) {
      if (where.length === 1) throw error;
      unavailable.push({
        device: "all",
        where: name,
        reason: error instanceof Error ? error.message : String(error),
      });
    }
  }
  const file = benchFile(
    { suites: suite, repeat: options.repeat, turn: options.turn },
    load,
    found,
    unavailable,
    rows,
  );
  if (json !== standardOutput) printRows(file);
  if (json !== undefined) await writeJson(json, file);
  if (html !== undefined) await writeFileAtomic(html, new TextEncoder().encode(await benchHtml(file)));
}

/** Both can be written, and are not the same file. @throws UsageError, FileError */
async function requireTargets(json: string | undefined, html: string | undefined): Promise<void> {
  await requireJsonTarget(json, html, "the report");
  if (html !== undefined) await requireWritableFile(html);
}

async function runInNode(options: RunOptions, count: number) {
  const result = await runCases(options, "node");
  const starts: Record<string, ColdStart[]> = {};
  for (const device of Object.keys(result.devices)) {
    if (count > 0) starts[device] = await coldStartsInNode(device, count);
  }
  return { result, version: `Node.js ${process.version}`, renderer: null, starts };
}

function printRows({ environment, places: found, rows, unavailable }: BenchFile): void {
  const table = new Table({
    head: ["suite", "case", "device", "where", "median", "fastest", "rate", "energy"],
    colAligns: ["left", "left", "left", "left", "right", "right", "right", "right"],
    style: { head: [], border: [] },
  });
  for (const row of rows) {
    const { medianMs, minMs, rate, unit, joules, joulesKind } = row;
    const figures =
      medianMs === null
        ? [{ colSpan: 4, content: row.error ?? "" }]
        : [
            milliseconds(medianMs),
            milliseconds(minMs!),
            `${figure(rate!)} ${unit}`,
            joules === null ? "unknown" : `${formatJoules(joules)} ${joulesKind}`,
          ];
    table.push([row.suite, row.case, row.device, row.where, ...figures]);
  }
  process.stdout.write(`${environment.cpu}, ${environment.cores} cores, ${environment.platform}\n`);
  for (const { where, version, renderer } of found) {
    process.stdout.write(`${where}: ${version}${renderer === null ? "" : `, WebGL by ${renderer}`}\n`);
  }
  process.stdout.write(`${table}\n`);
  for (const { device, where, reason } of unavailable) {
    process.stdout.write(`not there: ${device} in ${where}: ${reason}\n`);
  }
}

interface CompareOptions {
  readonly margin: number;
  readonly json?: string;
}

function compareCommand(): Command {
  return new Command("compare")
    .description("compare two files of wattgrad bench --json; exit code 3 if the second run is slower")
    .argument("<first>", "the run to compare with")
    .argument("<second>", "the run in question")
    .option("--margin <percent>", "differences up to this one do not count", positiveNumber, 10)
    .addOption(jsonOption())
    .action(runCompare);
}

async function runCompare(first: string, second: string, { margin, json }: CompareOptions): Promise<void> {
  await requireJsonTarget(json);
  const [a, b] = [await readBenchFile(first), await readBenchFile(second)];
  const comparison = compareRuns(a.rows, b.rows, margin / 100);
  if (json !== standardOutput) printComparison(comparison, margin);
  if (json !== undefined) await writeJson(json, comparison);
  const slower = comparison.cases.filter(({ verdict }) => verdict === "slower");
  if (slower.length > 0) {
    throw new DifferenceError(`${slower.length} of ${comparison.cases.length} cases are slower in ${second}`);
  }
}

function printComparison({ cases, unmatched, ratio }: RunComparison, margin: number): void {
  const table = new Table({
    head: ["suite", "case", "device", "where", "time", "interval", "verdict"],
    style: { head: [], border: [] },
  });
  const percent = (value: number) => `${value >= 1 ? "+" : ""}${(100 * (value - 1)).toFixed(1)} %`;
  for (const { suite, case: name, device, where, ratio: change, interval, verdict } of cases) {
    const range = `${percent(interval.low)} … ${percent(interval.high)}`;
    table.push([suite, name, device, where, percent(change), range, verdict]);
  }
  const different = cases.filter(({ verdict }) => verdict !== "no significant difference");
  process.stdout.write(`${table}\n`);
  for (const name of unmatched) process.stdout.write(`only in one of the runs, or without times: ${name}\n`);
  const summary =
    different.length === 0
      ? "no significant difference"
      : `${different.length} of ${cases.length} cases differ by more than ${margin} %`;
  process.stdout.write(`${summary}; all together ${percent(ratio)}\n`);
}

function milliseconds(value: number): string {
  return `${figure(value)} ms`;
}

function figure(value: number): string {
  return value.toLocaleString("en", { maximumSignificantDigits: 4 });
}
