/** Dequantization: applies offsets and scales to the sums of quantized products. */
import type { Operand, QuantizedProduct } from "../../../kernels/kernel.js";
import { type Iteration, type IterationNames, operandPosition, type Steps } from "../shader/iteration.js";
import type { ShaderBuilder } from "../shader/shader.js";
import { loadAt } from "./map.js";

/** Kind of a sum: of integers, of float32 inputs times weights, or of scaled groups. */
export type SumKind = "integers" | "floats" | "groups";

/** An operand of the dequantization and its steps along the dimensions of the output. */
export interface DequantizationOperand {
  readonly operand: Operand;
  readonly steps: Steps;
}

export interface Dequantization {
  readonly kind: SumKind;
  readonly operands: readonly DequantizationOperand[];
  readonly call: QuantizedProduct & { readonly inputScales?: Operand };
}

/**
 * The dequantization of a call, given the strides of an index along the output's dimensions: of its columns (or channels), and of
 * its rows (or images), by which `inputScales` are counted.
 */
export function dequantizationOf(
  call: Dequantization["call"],
  kind: SumKind,
  columns: readonly number[],
  rows: readonly number[],
): Dequantization {
  const along = (operand: Operand | undefined, steps: readonly number[]): DequantizationOperand[] => {
    if (operand === undefined) return [];
    const { strides, offset } = operand.view;
    return [{ operand, steps: { strides: steps.map((step) => step * strides[0]), offset } }];
  };
  const { scales, offsets, inputScales } = call;
  const isScaled = kind !== "groups";
  const operands = [
    ...along(isScaled ? scales : undefined, columns),
    ...along(offsets, columns),
    ...along(isScaled ? inputScales : undefined, rows),
  ];
  return { kind, operands, call };
}

/**
 * Adds statements that dequantize `sum`, an ivec4 of integers and a vec4 otherwise, and returns the vector of values. `planned` are
 * the steps of the operands in the iteration.
 */
export function dequantized(
  shader: ShaderBuilder,
  iteration: Iteration,
  names: IterationNames,
  { kind, operands, call }: Dequantization,
  planned: readonly Steps[],
  sum: string,
): string {
  const loaded = (operand: Operand | undefined): string | undefined => {
    const at = operands.findIndex((entry) => entry.operand === operand);
    if (operand === undefined || at < 0) return undefined;
    const steps = planned[at];
    return loadAt(shader, iteration, operand, steps, () => operandPosition(shader, iteration, names, steps));
  };
  const [scale, offset, inputScale] = [call.scales, call.offsets, call.inputScales].map(loaded);
  if (offset !== undefined) shader.add(`${sum} += ${offset};`);
  if (call.scales === undefined) return sum;
  const factors = [kind === "integers" ? `vec4(${sum})` : sum, scale, inputScale];
  return factors.filter((factor) => factor !== undefined).join(" * ");
}
