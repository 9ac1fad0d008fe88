/** Maps that begin with a number: what takes the place of a call that reduces over nothing. */
import type { DType } from "../core/dtype.js";
import type { Instruction, MapCall } from "./expression.js";
import type { InstructionName } from "./instructions.js";
import type { Operand } from "./operand.js";

/**
 * A function of the value so far: with a second argument, an operand of the output's shape or a number, or without one (null).
 * Where the second argument is undefined nothing happens. The last member is the dtype of the result, by default as before.
 */
export type FillStep = readonly [
  op: InstructionName,
  other: Operand | number | undefined | null,
  dtype?: DType,
];

/** A map that writes to `output` what the steps make of a number of `dtype`. */
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

/** The step of an activation. */
export function activationStep(activation: "relu" | undefined): FillStep {
  return ["relu", activation && null];
}
