/** Maps of a constant through a chain of instructions: the replacement of empty reductions. */
import type { DType } from "../core/dtype.js";
import type { Instruction, MapCall } from "./expression.js";
import type { InstructionName } from "./instructions.js";
import type { Operand } from "./operand.js";

/**
 * One instruction on the previous value. `other` is its second argument, an operand of the output's shape or a number; null for an
 * instruction of one argument; undefined skips the step. `dtype` is that of the result, by default unchanged.
 */
export type FillStep = readonly [
  op: InstructionName,
  other: Operand | number | undefined | null,
  dtype?: DType,
];

/** A map that writes `steps` applied to the constant `value` of `dtype` to `output`. */
export function fill(
  output: Operand,
  value: number,
  steps: readonly FillStep[] = [],
  dtype: DType = output.dtype,
): MapCall {
  const inputs: Operand[] = [];
  const instructions: Instruction[] = [{ op: "constant", dtype, args: [], value }];
  for (const [op, other, to] of steps) {
    if (other === undefined) continue;
    const at = instructions.length;
    const before = instructions[at - 1].dtype;
    const args = [at - 1];
    if (other !== null) {
      args.push(at);
      instructions.push(
        typeof other === "number"
          ? { op: "constant", dtype: before, args: [], value: other }
          : { op: "load", dtype: before, args: [], index: inputs.push(other) - 1 },
      );
    }
    instructions.push({ op, dtype: to ?? before, args });
  }
  const expression = { instructions, results: [instructions.length - 1] };
  return { kernel: "map", shape: output.view.shape, inputs, outputs: [output], expression };
}
