/** From the sums of quantized products to elements of the output: scales, offsets, bias, activation, rounding to int8. */
import materializedChunk from "../../../../glsl/materialized.glsl";
import reluChunk from "../../../../glsl/relu.glsl";
import requantizeChunk from "../../../../glsl/requantize.glsl";
import roundChunk from "../../../../glsl/round.glsl";
import type { Operand, QuantizedEpilogue } from "../../../kernels/kernel.js";
import { allBits } from "../shader/expression.js";
import type { ShaderBuilder } from "../shader/shader.js";
import { operandPosition, type Steps, type Walk, type WalkNames } from "../shader/walk.js";
import { loadAt } from "./map.js";

/** What a sum is: of integers, of floats times weights, or of groups that have been scaled. */
export type SumKind = "integers" | "floats" | "groups";

/** An operand of the epilogue and its steps along the dimensions of the output. */
export interface EpilogueOperand {
  readonly operand: Operand;
  readonly steps: Steps;
}

export interface Epilogue {
  readonly kind: SumKind;
  readonly operands: readonly EpilogueOperand[];
  readonly call: QuantizedEpilogue & { readonly inputScales?: Operand; readonly output: Operand };
}

/**
 * The epilogue of a call, given the strides of an index along the output's dimensions: of its columns (or channels), and of
 * its rows (or images), by which `inputScales` are counted.
 */
export function epilogueOf(
  call: Epilogue["call"],
  kind: SumKind,
  columns: readonly number[],
  rows: readonly number[],
): Epilogue {
  const along = (operand: Operand | undefined, steps: readonly number[]): EpilogueOperand[] => {
    if (operand === undefined) return [];
    const { strides, offset } = operand.view;
    return [{ operand, steps: { strides: steps.map((step) => step * strides[0]), offset } }];
  };
  const { scales, offsets, bias, inputScales } = call;
  const isScaled = kind !== "groups";
  const operands = [
    ...along(isScaled ? scales : undefined, columns),
    ...along(offsets, columns),
    ...along(bias, columns),
    ...along(isScaled ? inputScales : undefined, rows),
  ];
  return { kind, operands, call };
}

/**
 * Adds statements that finish `sum`, an ivec4 of integers and a vec4 otherwise, and returns the output's vector. `planned` are
 * the steps of the epilogue's operands in the walk.
 */
export function finishSum(
  shader: ShaderBuilder,
  walk: Walk,
  names: WalkNames,
  { kind, operands, call }: Epilogue,
  planned: readonly Steps[],
  sum: string,
): string {
  const loaded = (operand: Operand | undefined): string | undefined => {
    const at = operands.findIndex((entry) => entry.operand === operand);
    if (operand === undefined || at < 0) return undefined;
    const steps = planned[at];
    return loadAt(shader, walk, operand, steps, () => operandPosition(shader, walk, names, steps));
  };
  const [scale, offset, bias, inputScale] = [call.scales, call.offsets, call.bias, call.inputScales].map(
    loaded,
  );
  if (offset !== undefined) shader.add(`${sum} += ${offset};`);
  if (call.output.dtype === "int32") return sum;
  if (call.output.dtype === "int8") {
    for (const chunk of [roundChunk, materializedChunk, requantizeChunk]) shader.include(chunk);
    const zeroPoint = shader.int(call.zeroPoint ?? 0);
    const least = shader.int(call.activation === "relu" ? (call.zeroPoint ?? 0) : -128);
    return `requantized(${sum}, ${scale}, ${allBits(shader)}, ${zeroPoint}, ${least})`;
  }
  const factors = [kind === "integers" ? `vec4(${sum})` : sum, scale, inputScale];
  const product = factors.filter((factor) => factor !== undefined).join(" * ");
  shader.add(`vec4 value = ${bias === undefined ? product : `${product} + ${bias}`};`);
  if (call.activation !== "relu") return "value";
  shader.include(reluChunk);
  return "rectified(value)";
}
