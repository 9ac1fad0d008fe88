/** cost: exact FLOPs and bytes of a computation, counted from the Programs that its device runs. */

import { aDevice, aFunction, check, type Kind } from "../core/check.js";
import type { Device, DeviceBuffer } from "../device/device.js";
import { type DeviceChoice, deviceNamed } from "../device/select.js";
import { costOf } from "../kernels/cost.js";
import type { Cost, Program } from "../kernels/kernel.js";
import { commit } from "../runtime/commit.js";
import { realize } from "../runtime/realize.js";
import { sessionOf } from "../runtime/session.js";
import { tensorsIn } from "../runtime/structure.js";
import { lengthsOfRun } from "./attention_lengths.js";

/** A Program and its number of runs. */
export interface ProgramRuns {
  readonly program: Program;
  readonly runs: number;
}

/** FLOPs, bytes and Programs of a computation. */
export interface CountedCost extends Cost {
  readonly programs: readonly ProgramRuns[];
}

/**
 * Runs `fn` once and counts the device's work: FLOPs, bytes, Programs. Tensors that it returns (also in arrays and records) are
 * computed as part of it. On a device from `openDry` nothing is computed, only counted.
 *
 * Attention with lengths or positions as tensors is counted with their values, unless they depend on floats or the device
 * computes nothing: then with full length.
 *
 * @throws Errors of `fn`.
 * @example
 * const device = await openDevice("wasm");
 * const a = ones([8, 16], { device });
 * const { flops } = await cost(device, () => matmul(a, ones([16, 4], { device })));
 * flops; // 1024
 */
export async function cost(target: Device | DeviceChoice, fn: () => unknown): Promise<CountedCost> {
  const device = await deviceNamed("cost", target);
  const { runs, more } = await observeRuns("cost", device, fn);
  const programs = [...runs].map(([program, { count }]) => ({ program, runs: count }));
  const total = (unit: "flops" | "bytes") =>
    programs.reduce(
      (sum, { program, runs: count }) => sum + count * costOf(program, device.info)[unit],
      more[unit],
    );
  return { flops: total("flops"), bytes: total("bytes"), programs };
}

/**
 * Exact FLOPs and bytes of one run of a Program on the device that it was compiled for. Attention whose lengths or positions are
 * tensors is counted at full length (`cost` uses their values).
 *
 * @example
 * const device = await openDevice("wasm");
 * const x = ones([3], { device });
 * const twice = jit((input: Tensor) => input.mul(2));
 * twice(x);
 * programCost(device, twice.program(x)!); // { flops: 3, bytes: 24 }
 */
export function programCost(device: Device, program: Program): Cost {
  const { info } = check("programCost", "the device", device, aDevice);
  return costOf(check("programCost", "the Program", program, aProgram), info);
}

const aProgram: Kind = [
  "a Program",
  (value) => {
    const { calls, alike } = (value ?? {}) as Partial<Program>;
    const areCalls = Array.isArray(calls) && calls.every((call) => typeof call?.kernel === "string");
    return areCalls && (alike === undefined || Array.isArray(alike));
  },
];

/** Number of runs of each Program, and the last values of its runtime scalars. */
export type ObservedRuns = ReadonlyMap<
  Program,
  { readonly count: number; readonly scalars: readonly number[] }
>;

/** Runs `fn` and counts, pending work included. `more`: correction for attention lengths, at most 0. */
export async function observeRuns(
  op: string,
  device: Device,
  fn: () => unknown,
): Promise<{ readonly runs: ObservedRuns; readonly more: Cost }> {
  check(op, "the second argument", fn, aFunction);
  const session = sessionOf(device);
  const runs = new Map<Program, { count: number; scalars: readonly number[] }>();
  const differences: Promise<Cost>[] = [];
  const observe = (program: Program, scalars: readonly number[], buffers: readonly DeviceBuffer[]) => {
    runs.set(program, { count: (runs.get(program)?.count ?? 0) + 1, scalars });
    // A dry device holds no lengths.
    if (device.name === "dry") return;
    const difference = lengthsOfRun(program, scalars, device.info, (leaf) => device.read(buffers[leaf]));
    if (difference) differences.push(difference.catch(() => ({ flops: 0, bytes: 0 })));
  };
  session.observers.add(observe);
  try {
    const result = await fn();
    realize(tensorsIn(result));
    commit(device);
  } finally {
    session.observers.delete(observe);
  }
  const more = { flops: 0, bytes: 0 };
  for (const { flops, bytes } of await Promise.all(differences)) {
    more.flops += flops;
    more.bytes += bytes;
  }
  return { runs, more };
}
