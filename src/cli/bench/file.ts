/** The file that `wattgrad bench --json` writes and `wattgrad bench compare` reads. */
import type { BenchRow, RunResult } from "../../bench/index.js";
import { readFile } from "../../formats/file.js";
import { FormatError } from "../../tensor/errors.js";
import { type Environment, environmentOf } from "../environment.js";
import { packageVersion } from "../package.js";

const format = "wattgrad-bench-1";

/** One place where cases were run: Node, or a browser. */
export interface Place extends Omit<RunResult, "rows" | "unavailable"> {
  readonly where: string;
  /** Of Node or the browser. */
  readonly version: string;
  /** What WebGL says draws; null in Node. */
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
  if (value?.format !== format) throw new FormatError("it is no file of wattgrad bench --json");
  if (!Array.isArray(value.rows) || !value.rows.every(isRow)) throw new FormatError("its rows are damaged");
  return value as BenchFile;
}

/** As far as a comparison relies on it. */
function isRow(row: Partial<BenchRow> | null): boolean {
  const areTimes = (times: unknown) =>
    Array.isArray(times) && times.every((time) => Number.isFinite(time) && time >= 0);
  const names = [row?.suite, row?.case, row?.device, row?.where];
  return (
    names.every((name) => typeof name === "string") &&
    areTimes(row?.times) &&
    row!.times!.every((time) => time > 0) &&
    (row!.cpuTimes === null || row!.cpuTimes === undefined || areTimes(row!.cpuTimes))
  );
}
