/** Cost of kernel calls and Programs: exact floating-point operations and bytes. */
import { attentionCost } from "./attention.js";
import { distinctBytes, type ElementStorage } from "./bytes.js";
import { convCost, convGradInputCost } from "./conv.js";
import { gatherCost } from "./gather.js";
import { mapCost } from "./map.js";
import { matmulCost } from "./matmul.js";
import { operandsOf } from "./operands.js";
import { poolCost } from "./pool.js";
import { poolGradCost } from "./pool_grad.js";
import type { Program } from "./program.js";
import { qconvCost } from "./qconv.js";
import { qmatmulCost } from "./qmatmul.js";
import type { KernelCost } from "./record.js";
import { reduceCost } from "./reduce.js";
import { scatterAddCost } from "./scatter_add.js";
import type { CallOf, KernelCall, KernelName } from "./table.js";
import { writeCost } from "./write.js";

const costs: { readonly [Name in KernelName]: KernelCost<CallOf<Name>> } = {
  map: mapCost,
  reduce: reduceCost,
  matmul: matmulCost,
  attention: attentionCost,
  conv: convCost,
  convGradInput: convGradInputCost,
  convGradWeight: convCost,
  pool: poolCost,
  poolGrad: poolGradCost,
  qmatmul: qmatmulCost,
  qconv: qconvCost,
  gather: gatherCost,
  scatterAdd: scatterAddCost,
  write: writeCost,
};

/**
 * FLOPs and bytes, exact except for attention whose lengths or positions are operands: a Program counts it with full length, `cost()`
 * with the values.
 */
export interface Cost {
  /** Floating-point operations: 2·m·n·k for products, 1 per element for each arithmetic instruction. */
  readonly flops: number;
  /** Bytes that the kernels read and write, counting each operand's elements once per call. */
  readonly bytes: number;
}

function costOfKernel({ kernel }: KernelCall): KernelCost<KernelCall> {
  return costs[kernel] as unknown as KernelCost<KernelCall>;
}

/** 2 per multiply-add of a product, of floats or integers; 1 per element for each arithmetic instruction, transcendental or not. */
export function flopsOf(call: KernelCall): number {
  return costOfKernel(call).flops(call);
}

/** Bytes that the call reads and writes on a device with this storage of elements; each element of an operand counts once. */
export function bytesOf(call: KernelCall, stored: ElementStorage): number {
  const { bytes, untouched } = costOfKernel(call);
  if (bytes) return bytes(call, stored);
  const { reads, writes } = operandsOf(call);
  return [...reads, ...writes].reduce(
    (sum, operand) => sum + distinctBytes(operand, stored),
    -(untouched?.(call, stored) ?? 0),
  );
}

/** Costs already counted. The key is the Program alone, because it is compiled for one device and so for one storage of elements. */
const counted = new WeakMap<Program, Cost>();

/** Cost of one run of a Program on the device that it was compiled for. */
export function costOf(program: Program, stored: ElementStorage): Cost {
  let cost = counted.get(program);
  if (cost === undefined) {
    cost = count(program, stored);
    counted.set(program, cost);
  }
  return cost;
}

function count({ calls, alike }: Program, stored: ElementStorage): Cost {
  const costs: Cost[] = [];
  let flops = 0;
  let bytes = 0;
  calls.forEach((call, i) => {
    const first = alike?.[i] ?? i;
    costs[i] = costs[first] ?? { flops: flopsOf(call), bytes: bytesOf(call, stored) };
    flops += costs[i].flops;
    bytes += costs[i].bytes;
  });
  return { flops, bytes };
}
