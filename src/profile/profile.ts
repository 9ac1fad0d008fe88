/** profile: where the time of a computation goes, by kernel and by module. */

import { aNumber, checkOptions, type Kinds } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { Device } from "../device/device.js";
import { type DeviceChoice, deviceNamed } from "../device/select.js";
import { enterScope } from "../graph/tensor.js";
import { bytesOf, flopsOf } from "../kernels/cost.js";
import { describeCall } from "../kernels/describe.js";
import type { KernelCall } from "../kernels/kernel.js";
import { observeRuns } from "./cost.js";
import { type NamedModules, nameModules, outside } from "./modules.js";
import { programOf, timeCall } from "./replay.js";

export interface ProfileOptions {
  /** Its modules get their share of the time; without it there is one row for everything. */
  readonly model?: NamedModules;
  /** Measurements of each kernel, of which the median is taken. Default 5. */
  readonly repetitions?: number;
}

const profileOptions: Kinds<ProfileOptions> = {
  model: [
    "a module",
    (value) => typeof (value as Partial<NamedModules> | undefined | null)?.namedModules === "function",
  ],
  repetitions: aNumber,
};

/** Time, operations and traffic of some calls together. */
export interface Usage {
  readonly calls: number;
  readonly seconds: number;
  readonly flops: number;
  readonly bytes: number;
  /** Of all seconds, 0..1. */
  readonly share: number;
  /** 1e9 FLOPs per second; null if the time is below the clock's resolution. */
  readonly gflops: number | null;
  /** FLOPs per byte. */
  readonly intensity: number;
}

export interface KernelUsage extends Usage {
  /** Kernel and shapes: calls that do the same work are one row. */
  readonly name: string;
  readonly kernel: KernelCall["kernel"];
}

export interface ModuleUsage extends Usage {
  /** Its name in the model, with ` (gradient)` for the backward pass; an optimizer has its class's name. */
  readonly name: string;
}

/** One call in the order in which the device runs them. */
export interface ProfiledCall {
  readonly name: string;
  readonly kernel: KernelCall["kernel"];
  readonly module: string;
  readonly seconds: number;
  readonly flops: number;
  readonly bytes: number;
}

export interface Profile {
  readonly device: string;
  readonly total: Usage;
  /** Slowest first. */
  readonly kernels: readonly KernelUsage[];
  /** Slowest first. */
  readonly modules: readonly ModuleUsage[];
  readonly calls: readonly ProfiledCall[];
}

/**
 * Runs `fn` once, and then every kernel that it made the device run by itself: on memory of its own with made-up values, several
 * times. So the times are those of kernels, without what a program does between them, and with caches as warm as they
 * get. Functions made by `jit` are recorded anew for it.
 *
 * @throws What `fn` throws, OutOfMemoryError if a kernel's operands do not fit beside what is there.
 * @example
 * const report = await profile(device, () => step(x, y), { model });
 * console.log(formatProfile(report));
 * await writeFile("trace.json", JSON.stringify(chromeTrace(report))); // for chrome://tracing or Perfetto
 */
export async function profile(
  target: Device | DeviceChoice,
  fn: () => unknown,
  options: ProfileOptions = {},
): Promise<Profile> {
  const device = await deviceNamed("profile", target);
  const { model, repetitions = 5 } = checkOptions("profile", options, profileOptions);
  if (!Number.isInteger(repetitions) || repetitions < 1) {
    throw new ArgumentError(`repetitions is a positive integer, got ${repetitions}`, { op: "profile" });
  }
  const release = model && nameModules(model);
  const leave = enterScope(outside);
  const { runs } = await observeRuns("profile", device, fn).finally(() => {
    leave();
    release?.();
  });
  const times = new Map<string, number>();
  const calls: ProfiledCall[] = [];
  for (const [program, { count, scalars }] of runs) {
    const ofProgram: ProfiledCall[] = [];
    for (const [i, call] of program.calls.entries()) {
      const alone = programOf(call, program, device.info);
      const key = JSON.stringify([alone.calls, alone.slots]);
      const seconds = times.get(key) ?? (await timeCall(device, alone, scalars, repetitions));
      times.set(key, seconds);
      ofProgram.push({
        name: describeCall(call),
        kernel: call.kernel,
        module: program.origins?.[i] ?? outside,
        seconds,
        flops: flopsOf(call),
        bytes: bytesOf(call, device.info),
      });
    }
    for (let i = 0; i < count; i++) calls.push(...ofProgram);
  }
  const seconds = calls.reduce((sum, call) => sum + call.seconds, 0);
  const grouped = (key: "name" | "module") =>
    [...groupsOf(calls, key)]
      .map(([name, group]) => ({ name, kernel: group[0].kernel, ...usageOf(group, seconds) }))
      .sort((a, b) => b.seconds - a.seconds);
  return {
    device: device.info.description,
    total: usageOf(calls, seconds),
    kernels: grouped("name"),
    modules: grouped("module").map(({ kernel: _, ...rest }) => rest),
    calls,
  };
}

function groupsOf(calls: readonly ProfiledCall[], key: "name" | "module"): Map<string, ProfiledCall[]> {
  const groups = new Map<string, ProfiledCall[]>();
  for (const call of calls) {
    const group = groups.get(call[key]);
    if (group === undefined) groups.set(call[key], [call]);
    else group.push(call);
  }
  return groups;
}

function usageOf(calls: readonly ProfiledCall[], allSeconds: number): Usage {
  const total = (field: "seconds" | "flops" | "bytes") => calls.reduce((sum, call) => sum + call[field], 0);
  const [seconds, flops, bytes] = [total("seconds"), total("flops"), total("bytes")];
  return {
    calls: calls.length,
    seconds,
    flops,
    bytes,
    share: allSeconds > 0 ? seconds / allSeconds : 0,
    gflops: seconds > 0 ? flops / seconds / 1e9 : null,
    intensity: bytes > 0 ? flops / bytes : 0,
  };
}
