/** What a Program costs: exact floating-point operations and bytes, known when it is compiled. */
import type { Cost, Expression, KernelCall, Operand } from "../device/kernel.js";
import { operandsOf } from "../device/operands.js";
import { itemSize } from "../tensor/dtype.js";
import { sizeOf } from "../tensor/shape.js";

const notArithmetic = new Set([
  "load",
  "constant",
  "scalar",
  "iota",
  "uniform",
  "cast",
  "where",
  "not",
  "and",
  "or",
  "xor",
]);

/** 2 per multiply-add of a product, of floats or integers; 1 per element for each arithmetic instruction, transcendental or not. */
export function flopsOf(call: KernelCall): number {
  switch (call.kernel) {
    case "map":
      return sizeOf(call.shape) * arithmetic(call.expression);
    case "reduce":
      return sizeOf(call.shape) * (arithmetic(call.expression) + 1);
    case "matmul":
      return 2 * sizeOf(call.output.view.shape) * (call.a.view.shape.at(-1) ?? 1);
    case "conv":
    case "convGradInput":
    case "convGradWeight":
      return 2 * sizeOf(call.output.view.shape) * sizeOf(call.weight.view.shape.slice(1));
    case "qmatmul":
      return 2 * sizeOf(call.output.view.shape) * (call.input.view.shape.at(-1) ?? 1);
    case "qconv": {
      const perGroup = call.input.view.shape[1] / call.geometry.groups;
      return 2 * sizeOf(call.output.view.shape) * perGroup * sizeOf(call.kernelSize);
    }
    case "pool":
      return sizeOf(call.output.view.shape) * sizeOf(call.geometry.kernel);
    case "poolGrad":
      return sizeOf(call.gradOutput.view.shape) * sizeOf(call.geometry.kernel);
    case "scatterAdd":
      return sizeOf(call.shape);
    case "gather":
      return 0;
  }
}

/** Bytes that the call has to read and write, each element of an operand counted once. */
export function bytesOf(call: KernelCall): number {
  const { reads, writes } = operandsOf(call);
  return [...reads, ...writes].reduce((sum, operand) => sum + distinctBytes(operand), 0);
}

export function costOf(calls: readonly KernelCall[]): Cost {
  let flops = 0;
  let bytes = 0;
  for (const call of calls) {
    flops += flopsOf(call);
    bytes += bytesOf(call);
  }
  return { flops, bytes };
}

function arithmetic({ instructions }: Expression): number {
  return instructions.filter(({ op }) => !notArithmetic.has(op)).length;
}

function distinctBytes({ dtype, view }: Operand): number {
  return view.shape.reduce(
    (n, extent, i) => (view.strides[i] === 0 && extent > 0 ? n : n * extent),
    itemSize[dtype],
  );
}
