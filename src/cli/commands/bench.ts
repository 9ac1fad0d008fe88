/** `wattgrad bench`: time, rates and energy of kernels and training steps, in Node and in headless browsers. */
import { Command } from "commander";
import type { Backend } from "../../bench/contender.js";
import { currentLoad } from "../../bench/environment.js";
import {
  type BenchRow,
  labelOf,
  type RunOptions,
  type RunResult,
  runCases,
  suiteNames,
} from "../../bench/index.js";
import { peerSummaries, speedup } from "../../bench/ratio.js";
import { FormatError } from "../../core/errors.js";
import { type DeviceName, deviceNames } from "../../device/select.js";
import { formatJoules } from "../../energy/index.js";
import { type ColdStart, coldStartRow, coldStartsInNode } from "../bench/coldstart.js";
import { compareRuns, type RunComparison } from "../bench/compare.js";
import { type BenchFile, benchFile, type Place, readBenchFile } from "../bench/file.js";
import { benchHtml } from "../bench/html.js";
import { runInBrowser } from "../bench/page.js";
import { type ChosenPeers, installPeers, peersVariable } from "../bench/peers/install.js";
import { nodeLibraries } from "../bench/peers/node.js";
import { DifferenceError, UsageError } from "../exit.js";
import { integerFrom, jsonOption, listOf, positiveNumber } from "../options.js";
import { requireJsonTarget, requireWritableFile, standardOutput, writeJson, writeOutput } from "../output.js";
import { type PlaceName, requireBrowserDriver, whereOption } from "../places.js";
import { type Cell, print, printTable, say } from "../terminal.js";

const suites = [...suiteNames, "coldstart", "quick", "all"] as const;
type SuiteChoice = (typeof suites)[number];

interface BenchOptions {
  readonly suite: readonly SuiteChoice[];
  readonly device: readonly DeviceName[];
  readonly where: readonly PlaceName[];
  readonly repeat?: number;
  readonly json?: string;
  readonly html?: string;
  readonly peers?: boolean;
  readonly threads: number;
}

/** Rounds, and milliseconds of a turn: a quick run of both places takes less than two minutes on two cores. */
const [rounds, turn] = [15, 100];
const [quickRounds, quickTurn] = [25, 40];
/** Rounds of a quick run with other libraries, which has three times as many contenders. */
const quickRoundsWithPeers = 7;
/** Number of cold starts, enough to report their spread. */
const coldStarts = 9;

const examples = `
Examples:
  wattgrad bench                                  quick, in Node
  wattgrad bench --suite all --json today.json
  wattgrad bench --suite gemm,conv --device wasm,webgl --where node,chromium
  wattgrad bench --peers --where node,chromium    beside other libraries
  wattgrad bench compare yesterday.json today.json

Other libraries:
  --peers runs the same cases with tfjs, onnxruntime-web and jax-js, on those of their backends that
  --device names. Their results are compared with wattgrad's; what one cannot compute is shown with its
  error. "ours / peer" is the library's time in wattgrad's: 2 × where wattgrad is twice as fast. npm
  installs the libraries once, into the user's cache; with ${peersVariable}=<folder> those in that
  folder's node_modules are used instead.`;

export function benchCommand(): Command {
  const bench = new Command("bench")
    .description("measure kernels and training steps: time, rate, energy")
    .option("--suite <names>", `of ${suites.join(", ")}`, listOf(suites), ["quick"])
    .option("--device <names>", `of ${deviceNames.join(", ")}`, listOf(deviceNames), ["wasm", "webgl"])
    .addOption(whereOption(["node"]))
    .option("--repeat <n>", "rounds, in which all cases take turns", integerFrom(3))
    .addOption(jsonOption())
    .option("--html <file>", "write a report with plots: one page that fetches nothing")
    .option("--peers", "run tfjs, onnxruntime-web and jax-js beside wattgrad")
    .option(
      "--threads <n>",
      "of other libraries where they have them; wattgrad's own device uses one",
      integerFrom(1),
      1,
    )
    .addHelpText("after", examples)
    .action(runBench);
  bench.addCommand(compareCommand());
  return bench;
}

async function runBench({
  suite,
  device,
  where,
  repeat,
  json,
  html,
  peers: withPeers = false,
  threads,
}: BenchOptions): Promise<void> {
  requireBrowserDriver(where);
  await requireTargets(json, html);
  if (threads > 1 && !withPeers) throw new UsageError("--threads is for the libraries of --peers");
  const report = (line: string) => say(`wattgrad bench: ${line}`);
  const peers = withPeers ? { installed: await installPeers({ onProgress: report }), threads } : undefined;
  const quick = suite.every((name) => name === "quick");
  const options: RunOptions = {
    suites: suite.filter((name) => name !== "coldstart"),
    devices: device,
    repeat: repeat ?? (quick ? (withPeers ? quickRoundsWithPeers : quickRounds) : rounds),
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
    report(`${name} …`);
    try {
      const run =
        name === "node"
          ? await runInNode(options, starts, peers)
          : await runInBrowser(name, options, starts, peers);
      const { rows: measured, unavailable: missing, ...about } = run.result;
      rows.push(...measured);
      for (const [on, times] of Object.entries(run.starts)) {
        const like = measured.find((row) => row.peer === null && row.device === on) ?? {
          threads: 1,
          simd: null,
        };
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
  if (html !== undefined) await writeOutput(html, await benchHtml(file));
}

/** Both can be written, and are not the same file. @throws UsageError, FileError */
async function requireTargets(json: string | undefined, html: string | undefined): Promise<void> {
  await requireJsonTarget(json, [html, "the report"]);
  if (html !== undefined) await requireWritableFile(html);
}

async function runInNode(options: RunOptions, count: number, chosen: ChosenPeers | undefined) {
  const result = await runCases(options, "node", { peers: await peersInNode(options, chosen) });
  const starts: Record<string, ColdStart[]> = {};
  for (const device of options.devices) {
    if (count > 0 && device in result.devices) starts[device] = await coldStartsInNode(device, count);
  }
  return { result, version: `Node.js ${process.version}`, renderer: null, starts };
}

/** Node has no WebGL for them either. */
async function peersInNode({ devices }: RunOptions, chosen: ChosenPeers | undefined) {
  if (chosen === undefined) return [];
  const { installed, threads } = chosen;
  const { peersOf } = await import("../../bench/peers/index.js");
  const backends: readonly Backend[] = devices.includes("wasm") ? ["wasm"] : [];
  return peersOf(nodeLibraries(installed.directory, installed.versions, threads), backends);
}

function printRows({ environment, places: found, rows, unavailable }: BenchFile): void {
  const summaries = peerSummaries(rows);
  const compared = summaries.length > 0 ? ["ours / peer"] : [];
  const heads = ["median", "fastest", "rate", "energy", ...compared];
  const table = rows.map((row): Cell[] => {
    const { medianMs, minMs, rate, unit, joules, joulesKind } = row;
    const figures =
      medianMs === null
        ? [{ colSpan: heads.length, content: row.error ?? "" }]
        : [
            milliseconds(medianMs),
            milliseconds(minMs!),
            `${figure(rate!)} ${unit}`,
            joules === null ? "unknown" : `${formatJoules(joules)} ${joulesKind}`,
            ...compared.map(() => times(speedup(row, rows))),
          ];
    return [row.suite, row.case, labelOf(row), row.where, ...figures];
  });
  print(`${environment.cpu}, ${environment.cores} cores, ${environment.platform}`);
  for (const { where, version, renderer } of found) {
    print(`${where}: ${version}${renderer === null ? "" : `, WebGL by ${renderer}`}`);
  }
  printTable(table, { head: ["suite", "case", "device", "where", ...heads] });
  for (const { side, speedup: mean, cases, failed } of summaries) {
    const errors = failed === 0 ? "" : `, ${failed} that it could not compute`;
    print(`ours / ${side}: ${times(mean)} (geometric mean of ${cases} cases${errors})`);
  }
  for (const { device, where, reason } of unavailable) print(`not there: ${device} in ${where}: ${reason}`);
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
  await requireJsonTarget(json, [first, "the first run"], [second, "the second run"]);
  const [a, b] = [await readBenchFile(first), await readBenchFile(second)];
  const comparison = compareRuns(a.rows, b.rows, margin / 100);
  if (comparison.cases.length === 0 && comparison.failed.length === 0) {
    throw new FormatError(`${first} and ${second} have no case in common, nothing is compared`);
  }
  if (json !== standardOutput) printComparison(comparison, margin);
  if (json !== undefined) await writeJson(json, comparison);
  if (comparison.failed.length > 0) {
    throw new DifferenceError(
      `${comparison.failed.length} cases have no times in ${second}: ${comparison.failed.join("; ")}`,
    );
  }
  // Another library's pace is no fault of wattgrad's.
  const slower = comparison.cases.filter(({ verdict, peer }) => verdict === "slower" && peer === null);
  if (slower.length > 0) {
    throw new DifferenceError(`${slower.length} of ${comparison.cases.length} cases are slower in ${second}`);
  }
}

function printComparison({ cases, unmatched, ratio }: RunComparison, margin: number): void {
  const percent = (value: number) => `${value >= 1 ? "+" : ""}${(100 * (value - 1)).toFixed(1)} %`;
  const rows = cases.map((compared) => {
    const { suite, case: name, where, ratio: change, interval, verdict } = compared;
    const range = `${percent(interval.low)} … ${percent(interval.high)}`;
    return [suite, name, labelOf(compared), where, percent(change), range, verdict];
  });
  const different = cases.filter(({ verdict }) => verdict !== "no significant difference");
  printTable(rows, { head: ["suite", "case", "device", "where", "time", "interval", "verdict"] });
  for (const name of unmatched) print(`only in one of the runs, or without times: ${name}`);
  const summary =
    different.length === 0
      ? "no significant difference"
      : `${different.length} of ${cases.length} cases differ by more than ${margin} %`;
  print(`${summary}; all together ${percent(ratio)}`);
}

function times(ratio: number | null): string {
  return ratio === null ? "" : `${ratio.toLocaleString("en", { maximumSignificantDigits: 3 })} ×`;
}

function milliseconds(value: number): string {
  return `${figure(value)} ms`;
}

function figure(value: number): string {
  return value.toLocaleString("en", { maximumSignificantDigits: 4 });
}
