/** The file that `wattgrad bench --json` writes and `wattgrad bench compare` reads. */

import { type Environment, environmentOf } from "../../bench/environment.js";
import type { BenchRow, RunResult } from "../../bench/index.js";
import { FormatError } from "../../core/errors.js";
import { excerpt, quote } from "../../formats/excerpt.js";
import { readFile } from "../../formats/file.js";
import { packageVersion } from "../package.js";

const format = "wattgrad-bench-1";

/** One place where cases were run: Node, or a browser. */
export interface Place extends Omit<RunResult, "rows" | "unavailable"> {
  readonly where: string;
  /** Version of Node or the browser. */
  readonly version: string;
  /** The WebGL renderer string; null in Node. */
  readonly renderer: string | null;
}

export interface BenchFile {
  readonly format: string;
  readonly wattgrad: string;
  readonly date: string;
  readonly environment: Environment;
  readonly options: { readonly suites: readonly string[]; readonly repeat: number; readonly turn: number };
  readonly places: readonly Place[];
  readonly unavailable: RunResult["unavailable"];
  readonly rows: readonly BenchRow[];
}

export function benchFile(
  options: BenchFile["options"],
  load: number,
  places: readonly Place[],
  unavailable: RunResult["unavailable"],
  rows: readonly BenchRow[],
): BenchFile {
  return {
    format,
    wattgrad: packageVersion(),
    date: new Date().toISOString(),
    environment: environmentOf(load),
    options,
    places,
    unavailable,
    rows,
  };
}

/** @throws FileError, FormatError for files that `wattgrad bench` did not write. */
export async function readBenchFile(path: string): Promise<BenchFile> {
  const text = new TextDecoder().decode(await readFile(path, "bench"));
  try {
    return parseBenchFile(text);
  } catch (error) {
    throw new FormatError(`${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** @throws FormatError for other text. */
export function parseBenchFile(text: string): BenchFile {
  let value: Partial<BenchFile> | null;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new FormatError("it is not JSON", { cause: error });
  }
  if (typeof value !== "object" || value === null || !("format" in value)) {
    throw new FormatError("it is no file of wattgrad bench --json");
  }
  if (value.format !== format) {
    throw new FormatError(`it is in the format ${excerpt(value.format)}, and ${quote(format)} is read here`);
  }
  if (!Array.isArray(value.rows)) throw new FormatError(`rows is a list, got ${excerpt(value.rows)}`);
  const seen = new Set<string>();
  let measured = 0;
  for (const [i, row] of value.rows.entries()) {
    checkRow(row, `rows.${i}`);
    const key = JSON.stringify([row.suite, row.case, row.device, row.where, row.threads, row.peer]);
    if (seen.has(key)) throw new FormatError(`rows.${i} is there twice: ${excerpt(row.case)}`);
    seen.add(key);
    measured += row.times.length;
  }
  if (measured > mostTimes) throw new FormatError(`it has ${measured} times, more than ${mostTimes}`);
  return value as BenchFile;
}

/** Maximum number of samples in a file: a comparison resamples each some thousand times. */
const mostTimes = 100_000;
/** Milliseconds: eleven days. */
const longestTime = 1e9;

/** As far as a comparison relies on it. @throws FormatError naming the field. */
function checkRow(row: Partial<BenchRow> | null, path: string): void {
  const check = (name: string, value: unknown, expected: string, isRight: boolean) => {
    if (!isRight) throw new FormatError(`${path}${name} is ${expected}, got ${excerpt(value)}`);
  };
  check("", row, "an object", typeof row === "object" && row !== null && !Array.isArray(row));
  const { suite, case: name, device, where, threads, peer, times, cpuTimes } = row!;
  for (const [key, value] of Object.entries({ suite, case: name, device, where })) {
    check(`.${key}`, value, "a name", typeof value === "string");
  }
  check(".threads", threads, "a whole number above 0", Number.isSafeInteger(threads) && threads! > 0);
  check(".peer", peer, "a name or null", peer === null || typeof peer === "string");
  check(".times", times, "a list", Array.isArray(times));
  if (cpuTimes !== null) {
    check(
      ".cpuTimes",
      cpuTimes,
      `null or a list of ${times!.length}`,
      Array.isArray(cpuTimes) && cpuTimes.length === times!.length,
    );
  }
  for (const [i, time] of times!.entries()) {
    check(`.times.${i}`, time, "a time above 0", Number.isFinite(time) && time > 0 && time <= longestTime);
  }
  for (const [i, time] of (cpuTimes ?? []).entries()) {
    check(
      `.cpuTimes.${i}`,
      time,
      "a time from 0 on",
      Number.isFinite(time) && time >= 0 && time <= longestTime,
    );
  }
}
