/** What a benchmark case is, and how one is made from a function of tensors. */
import { type JitResult, jit } from "../compiler/jit.js";
import type { Device } from "../device/device.js";
import type { Cost } from "../device/kernel.js";
import { randn } from "../ops/random.js";
import type { Tensor } from "../tensor/tensor.js";

export const suiteNames = ["gemm", "gemv", "conv", "attention", "elementwise", "dispatch", "train"] as const;
export type SuiteName = (typeof suiteNames)[number];

export interface BenchCase {
  readonly suite: SuiteName;
  readonly name: string;
  /** Part of the suite `quick`. */
  readonly quick: boolean;
  readonly unit: RateUnit;
  /** Makes inputs and model on a device, and compiles. */
  build(device: Device): Promise<Work>;
}

/** What is told per second: 1e9 FLOPs, 1e9 bytes, or runs. */
export type RateUnit = "GFLOP/s" | "GB/s" | "steps/s" | "ops/s";

/** A case that is ready to run on a device. */
export interface Work {
  readonly cost: Cost;
  /** What the rate counts in one run, if it is neither FLOPs nor bytes. */
  readonly amount: number;
  /** Enqueues one run. */
  run(): void;
}

/** Work that replays one recorded Program: `fn` on inputs of its own. */
export function replayed(
  inputs: Tensor[],
  fn: (...inputs: Tensor[]) => JitResult,
  { amount = 1 }: { readonly amount?: number } = {},
): Work {
  const step = jit<Tensor[], JitResult>(fn);
  const run = () => {
    for (const result of tensorsOf(step(...inputs))) result.dispose();
  };
  run();
  return {
    cost: step.program(...inputs)!.cost,
    amount,
    run,
  };
}

function tensorsOf(result: JitResult): Tensor[] {
  if (result === undefined) return [];
  return Array.isArray(result) ? result : [result as Tensor];
}

/** Standard normal values in memory. */
export async function normal(device: Device, shape: readonly number[]): Promise<Tensor> {
  const x = randn([...shape], { device });
  await x.realize();
  return x;
}
