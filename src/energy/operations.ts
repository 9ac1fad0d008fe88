/** Energy from counted work: FLOPs and bytes times published energies per operation. */

import { aNumber, anObject, check, describe } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { Cost } from "../kernels/kernel.js";
import type { EnergyFigure } from "./figure.js";

/** Energy of one operation in picojoules. */
export interface OperationEnergy {
  /** Publication. */
  readonly source: string;
  /** Manufacturing process and supply voltage of the figures. */
  readonly process: string;
  readonly float32Add: number;
  readonly float32Multiply: number;
  readonly int8Add: number;
  readonly int8Multiply: number;
  /** An access of 64 bits in a cache of 8 kB. */
  readonly cache64: number;
  /** An access of 64 bits in DRAM: the lower end of 1,300 to 2,600 pJ. */
  readonly dram64: number;
}

/**
 * M. Horowitz, "Computing's Energy Problem (and what we can do about it)", ISSCC 2014, table of figure 1.1.9.
 *
 * @example
 * horowitz2014.float32Multiply; // 3.7
 */
export const horowitz2014: OperationEnergy = {
  source: "Horowitz, ISSCC 2014",
  process: "45 nm, 0.9 V",
  float32Add: 0.9,
  float32Multiply: 3.7,
  int8Add: 0.03,
  int8Multiply: 0.2,
  cache64: 10,
  dram64: 1300,
};

const picojoule = 1e-12;
const bytesPerAccess = 8;

/**
 * Energy of the arithmetic and memory traffic alone: half of the FLOPs are counted as additions, half as multiplications, and every
 * byte as read from DRAM. Instruction fetch and decode, which dominate in processors, and caches are not included: use it to compare
 * computations, not to predict consumption.
 *
 * @throws ArgumentError for negative or infinite counts.
 * @example
 * operationEnergy({ flops: 2e9, bytes: 0 }, 0.1); // { joules: 0.0046, kind: "modelled" }
 */
export function operationEnergy(
  cost: Cost,
  seconds: number,
  constants: OperationEnergy = horowitz2014,
): EnergyFigure {
  const op = "operationEnergy";
  const { flops, bytes } = check(op, "the cost", cost, anObject);
  check(op, "seconds", seconds, aNumber);
  check(op, "the constants", constants, anObject);
  for (const [name, count] of Object.entries({ flops, bytes })) {
    if (!Number.isFinite(count) || count < 0) {
      throw new ArgumentError(`${name} is a non-negative number, got ${describe(count)}`, { op });
    }
  }
  const none = flops + bytes === 0;
  return {
    joules: none ? null : joulesOf({ flops, bytes }, constants),
    kind: "modelled",
    method: methodOf(constants),
    scope: operationScope,
    seconds,
    idleSubtracted: false,
    ...(none && { reason: "no operation was counted" }),
  };
}

export const operationScope = "arithmetic and memory traffic alone";

export function methodOf({ source, process }: OperationEnergy): string {
  return `FLOPs and bytes with the energy per operation of ${source} (${process})`;
}

export function joulesOf({ flops, bytes }: Cost, constants: OperationEnergy): number {
  const perFlop = (constants.float32Add + constants.float32Multiply) / 2;
  return (flops * perFlop + (bytes / bytesPerAccess) * constants.dram64) * picojoule;
}
