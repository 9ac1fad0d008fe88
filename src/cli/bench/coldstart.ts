/** Cold start: the time from a new process to the first result, as in scripts and serverless functions. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { type BenchRow, median } from "../../bench/index.js";
import { packageRoot } from "../package.js";

export interface ColdStart {
  readonly ms: number;
  /** Null if it cannot be measured. */
  readonly cpuMs: number | null;
}

/** Time since the process was started; Node counts it itself. */
export async function coldStartsInNode(device: string, count: number): Promise<ColdStart[]> {
  const library = JSON.stringify(pathToFileURL(join(packageRoot(), "dist", "index.js")).href);
  const program = `
    const { openDevice, tensor } = await import(${library});
    const device = await openDevice(${JSON.stringify(device)});
    await tensor([1, 2], { device }).sum().item();
    const { user, system } = process.cpuUsage();
    console.log(JSON.stringify({ ms: performance.now(), cpuMs: (user + system) / 1000 }));`;
  const starts: ColdStart[] = [];
  for (let i = 0; i < count; i++) {
    const args = ["--input-type=module", "--eval", program];
    starts.push(JSON.parse((await promisify(execFile)(process.execPath, args)).stdout));
  }
  return starts;
}

export function coldStartRow(
  device: string,
  where: string,
  starts: readonly ColdStart[],
  like: Pick<BenchRow, "threads" | "simd">,
): BenchRow {
  const times = starts.map(({ ms }) => ms);
  const cpuTimes = starts.flatMap(({ cpuMs }) => cpuMs ?? []);
  const medianMs = median(times);
  return {
    suite: "coldstart",
    case: where === "node" ? "process to first result" : "new page to first result",
    dtype: "float32",
    device,
    where,
    threads: like.threads,
    simd: like.simd,
    medianMs,
    minMs: Math.min(...times),
    times,
    cpuTimes: cpuTimes.length === times.length ? cpuTimes : null,
    runs: times.length,
    rate: 1e3 / medianMs,
    unit: "starts/s",
    flops: null,
    bytes: null,
    joules: null,
    joulesKind: null,
    joulesReason: "not measured: another process does the work",
    peer: null,
  };
}
