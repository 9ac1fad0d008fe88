/** profile: time of a computation by kernel, op and module. */

import { provenanceOf } from "../compiler/provenance.js";
import { aNumber, checkOptions, type Kinds } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { Device } from "../device/device.js";
import { type DeviceChoice, deviceNamed } from "../device/select.js";
import { enterScope } from "../graph/scope.js";
import { bytesOf, flopsOf } from "../kernels/cost.js";
import { describeCall } from "../kernels/describe.js";
import type { KernelCall } from "../kernels/kernel.js";
import { sessionOf } from "../runtime/session.js";
import { observeRuns } from "./cost.js";
import { type NamedModules, nameModules, outside } from "./modules.js";
import { programOf, timeCall } from "./replay.js";

/** Options of `profile`. */
export interface ProfileOptions {
  /** Splits the time by the model's modules; without it there is one row. */
  readonly model?: NamedModules;
  /** Measurements per kernel, of which the median is used. Default 5. */
  readonly repetitions?: number;
}

const profileOptions: Kinds<ProfileOptions> = {
  model: [
    "a module",
    (value) => typeof (value as Partial<NamedModules> | undefined | null)?.namedModules === "function",
  ],
  repetitions: aNumber,
};

/** Time, operations and memory traffic of a group of kernel calls. */
export interface Usage {
  readonly calls: number;
  readonly seconds: number;
  readonly flops: number;
  readonly bytes: number;
  /** Fraction of the total time, 0..1. */
  readonly share: number;
  /** 1e9 FLOPs per second; null if the time is below the clock's resolution. */
  readonly gflops: number | null;
  /** FLOPs per byte. */
  readonly intensity: number;
}

/** Usage of one kernel with one set of shapes. */
export interface KernelUsage extends Usage {
  /** Ops, kernel and shapes, `linear + gelu: matmul [64, 784] × [784, 256]`: calls that do the same work are one row. */
  readonly name: string;
  readonly kernel: KernelCall["kernel"];
}

/** Usage of one combination of ops. */
export interface OpUsage extends Usage {
  /**
   * The ops that one kernel computes, in this order: `softmax`, `linear + gelu`, `layerNorm (gradient)`. Composite ops have their
   * own name, others that of the function (`add`). Of more than four, the composites alone, and `…`.
   */
  readonly name: string;
}

/** Usage of one module. */
export interface ModuleUsage extends Usage {
  /** Its name in the model, with ` (gradient)` for the backward pass; an optimizer has its class's name. */
  readonly name: string;
}

/** One kernel call, in execution order. */
export interface ProfiledCall {
  readonly name: string;
  readonly kernel: KernelCall["kernel"];
  /** As in `OpUsage`. */
  readonly op: string;
  readonly module: string;
  readonly seconds: number;
  readonly flops: number;
  readonly bytes: number;
}

/** The result of `profile`. */
export interface Profile {
  readonly device: string;
  readonly total: Usage;
  /** By kernel, slowest first. */
  readonly kernels: readonly KernelUsage[];
  /** By op, slowest first. */
  readonly ops: readonly OpUsage[];
  /** By module, slowest first. */
  readonly modules: readonly ModuleUsage[];
  readonly calls: readonly ProfiledCall[];
}

/**
 * Runs `fn` once, then times every kernel call of it separately, several times, on buffers with made-up values. The times exclude the
 * work between kernels, and caches are warm. Functions made by `jit` are recorded anew. Existing Programs are compiled
 * again, so that each kernel has the names of the ops that it computes: `softmax` instead of the maximum, difference, exponential, sum
 * and quotient that it consists of. `composite(name, fn)` names your own functions.
 *
 * @throws Errors of `fn`; OutOfMemoryError if a kernel's operands do not fit in memory in addition to the program's.
 * @example
 * const device = await openDevice("wasm");
 * const model = new Sequential(new Linear(8, 4, { device }));
 * const x = ones([2, 8], { device });
 * const report = await profile(device, () => model.forward(x), { model });
 * report.modules.map(({ name }) => name); // ["0"]
 * report.total.flops; // 136
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
  const session = sessionOf(device);
  session.compileOptions = { ...session.compileOptions, provenanceOf };
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
      const { module = outside, op } = program.provenance?.[i] ?? {};
      const described = describeCall(call, { instructions: op === undefined });
      const alone = programOf(call, program);
      const key = JSON.stringify([alone.calls, alone.slots]);
      const seconds = times.get(key) ?? (await timeCall(device, alone, scalars, repetitions));
      times.set(key, seconds);
      ofProgram.push({
        name: op === undefined ? described : `${op}: ${described}`,
        kernel: call.kernel,
        op: op ?? call.kernel,
        module,
        seconds,
        flops: flopsOf(call),
        bytes: bytesOf(call, device.info),
      });
    }
    for (let i = 0; i < count; i++) calls.push(...ofProgram);
  }
  const seconds = calls.reduce((sum, call) => sum + call.seconds, 0);
  const grouped = (key: "name" | "op" | "module") =>
    [...groupsOf(calls, key)]
      .map(([name, group]) => ({ name, kernel: group[0].kernel, ...usageOf(group, seconds) }))
      .sort((a, b) => b.seconds - a.seconds);
  return {
    device: device.info.description,
    total: usageOf(calls, seconds),
    kernels: grouped("name"),
    ops: grouped("op").map(({ kernel: _, ...rest }) => rest),
    modules: grouped("module").map(({ kernel: _, ...rest }) => rest),
    calls,
  };
}

function groupsOf(
  calls: readonly ProfiledCall[],
  key: "name" | "op" | "module",
): Map<string, ProfiledCall[]> {
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
