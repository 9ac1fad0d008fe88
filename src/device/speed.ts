/** The benchmark behind "auto": square products of random matrices, the dominant work of networks. */

import type { Operand, Program } from "../kernels/kernel.js";
import type { Device } from "./device.js";
import type { DeviceName, Rejection } from "./names.js";

interface Ranked {
  readonly device: Device;
  /** Whether it can compute a product: some drivers create a context but compile no shader. */
  readonly works: boolean;
  /** Why it does not work or is slower; empty for the fastest. */
  readonly reason: string;
}

/** Size of the first round: distinguishes a software renderer from a GPU within a few milliseconds. */
const firstSize = 256;
/** Size of the second round: large enough that a GPU's latency does not dominate. */
const finalSize = 512;
/** Devices slower than the best by more than this factor in the first round are not in the second. */
const hopeless = 6;
const repetitions = 3;

/** The candidates of "auto". */
const contestants: readonly DeviceName[] = ["webgl", "wasm"];

/** The result, cached for the rest of the process: hardware does not change. */
let remembered: { readonly name: DeviceName; readonly rejected: readonly Rejection[] } | undefined;

/** Returns the fastest device, undefined if none works, and the reasons against the others, which are closed. */
export async function race(
  open: (name: DeviceName) => Promise<Device>,
  attempt: (name: DeviceName, rejected: Rejection[]) => Promise<Device | undefined>,
): Promise<{ readonly device: Device | undefined; readonly rejected: readonly Rejection[] }> {
  if (remembered !== undefined) {
    const { name, rejected } = remembered;
    return { device: await open(name), rejected };
  }
  const opened: Device[] = [];
  const rejected: Rejection[] = [];
  for (const name of contestants) {
    const device = await attempt(name, rejected);
    if (device !== undefined) opened.push(device);
  }
  const ranking = await compareSpeed(opened);
  const best = ranking.find(({ works }) => works)?.device;
  for (const { device, reason } of ranking) {
    if (device === best) continue;
    rejected.push({ name: device.name as DeviceName, reason });
    device.close();
  }
  if (best !== undefined) {
    rejected.push({ name: "reference", reason: "it is for checking the others: exact, and slow" });
    remembered = { name: best.name as DeviceName, rejected };
  }
  return { device: best, rejected };
}

/** Sorts the devices by speed, fastest first; devices that fail are last. */
async function compareSpeed(devices: readonly Device[]): Promise<readonly Ranked[]> {
  const heat = await measureAll(devices, firstSize);
  const limit = Math.min(...heat.map(({ milliseconds }) => milliseconds)) * hopeless;
  const [fast, slow] = [
    heat.filter((r) => r.milliseconds <= limit),
    heat.filter((r) => r.milliseconds > limit),
  ];
  const final =
    fast.length > 1
      ? await measureAll(
          fast.map(({ device }) => device),
          finalSize,
        )
      : fast;
  const results = [...final.sort(byTime), ...slow.sort(byTime)];
  const best = results[0];
  return results.map((result, i) => ({
    device: result.device,
    works: result.failure === undefined,
    reason: result.failure ?? (i === 0 ? "" : describe(result, final.includes(result) ? best : heatOf(best))),
  }));

  function heatOf({ device }: Measured): Measured {
    return heat.find((result) => result.device === device)!;
  }
}

interface Measured {
  readonly device: Device;
  readonly size: number;
  /** Best of several runs; Infinity after a failure. */
  readonly milliseconds: number;
  readonly failure?: string;
}

function byTime(a: Measured, b: Measured): number {
  return a.milliseconds - b.milliseconds;
}

function describe({ device, size, milliseconds }: Measured, best: Measured): string {
  const times = `${milliseconds.toFixed(1)} ms against ${best.milliseconds.toFixed(1)} ms`;
  return `${device.info.description} is slower than ${best.device.name}: ${times} for a ${size} × ${size} product`;
}

async function measureAll(devices: readonly Device[], size: number): Promise<Measured[]> {
  const results: Measured[] = [];
  for (const device of devices) {
    try {
      results.push({ device, size, milliseconds: await timeProduct(device, size) });
    } catch (error) {
      const failure = `it failed a test product: ${error instanceof Error ? error.message : error}`;
      results.push({ device, size, milliseconds: Number.POSITIVE_INFINITY, failure });
    }
  }
  return results;
}

/** Milliseconds of a product [size, size]², until one element has been read back. */
async function timeProduct(device: Device, size: number): Promise<number> {
  const matrix = (slot: number): Operand => ({
    slot,
    dtype: "float32",
    view: { shape: [size, size], strides: [size, 1], offset: 0 },
  });
  const corner: Operand = { slot: 2, dtype: "float32", view: { shape: [1], strides: [1], offset: 0 } };
  const program: Program = {
    calls: [
      { kernel: "matmul", a: matrix(0), b: matrix(1), output: matrix(2) },
      // Reading one element waits for the whole product, but transfers little.
      {
        kernel: "map",
        shape: [1],
        inputs: [corner],
        outputs: [{ ...corner, slot: 3 }],
        expression: { instructions: [{ op: "load", dtype: "float32", args: [], index: 0 }], results: [0] },
      },
    ],
    slots: [size * size, size * size, size * size, 1].map((n) => ({ dtype: "float32", size: n, offset: -1 })),
    leafCount: 4,
    scalars: [],
    arenaBytes: 0,
  };
  const leaves = program.slots.map(({ dtype, size: n }) => device.allocate(dtype, n));
  const executable = device.prepare(program);
  try {
    const values = Float32Array.from({ length: size * size }, (_, i) => ((i * 7) % 13) / 13 - 0.5);
    device.write(leaves[0], values);
    device.write(leaves[1], values);
    await device.warmup?.(executable);
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i <= repetitions; i++) {
      const start = performance.now();
      device.run(executable, leaves, []);
      await device.read(leaves[3]);
      // The first run includes compilation and allocation.
      if (i > 0) best = Math.min(best, performance.now() - start);
    }
    return best;
  } finally {
    device.release(executable);
    for (const leaf of leaves) device.free(leaf);
  }
}
