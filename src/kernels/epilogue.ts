/** Epilogues: elementwise work on a kernel's result before it is stored. */
import { type Shape, sameShape, sizeOf } from "../core/shape.js";
import { rowMajor, type View } from "../core/view.js";
import { type Expression, flopsPerElement, type MapCall } from "./expression.js";
import { fill } from "./fill.js";
import type { Operand } from "./operand.js";

/**
 * The output is the expression's one result, for every element. `load` 0 of the expression is the element that the kernel
 * itself computed, `load` i the element of `inputs[i − 1]` at the same position. float32. No input shares memory with the output.
 */
export interface Epilogue {
  /**
   * The output's shape, or another one with the same elements in the same order where the output is row-major: the views of
   * the inputs have it.
   */
  readonly shape: Shape;
  readonly inputs: readonly Operand[];
  readonly expression: Expression;
}

/** The field of kernel calls that may end in one. */
export interface WithEpilogue {
  readonly epilogue?: Epilogue;
}

/** The epilogue as a map over what the kernel has stored, in place: for devices and layouts that apply it in a second pass. */
export function epilogueMap(output: Operand, { shape, inputs, expression }: Epilogue): MapCall {
  const own = { ...output, view: seenAs(output.view, shape) };
  return { kernel: "map", shape, inputs: [own, ...inputs], outputs: [own], expression };
}

function seenAs(view: View, shape: Shape): View {
  return sameShape(view.shape, shape) ? view : { ...rowMajor(shape), offset: view.offset };
}

/** The map that writes the output where the kernel's own result is 0 everywhere, as it is for a sum of nothing. */
export function epilogueOfZero(output: Operand, epilogue: Epilogue | undefined): MapCall {
  if (epilogue === undefined) return fill(output, 0);
  const { inputs, outputs, shape, expression } = epilogueMap(output, epilogue);
  const instructions = expression.instructions.map((instruction) => {
    const { op, dtype, index } = instruction;
    if (op !== "load") return instruction;
    return index === 0
      ? ({ op: "constant", dtype, args: [], value: 0 } as const)
      : { ...instruction, index: index! - 1 };
  });
  return {
    kernel: "map",
    shape,
    inputs: inputs.slice(1),
    outputs,
    expression: { ...expression, instructions },
  };
}

/** Floating-point operations: 1 per element for each arithmetic instruction. */
export function epilogueFlops({ epilogue }: WithEpilogue): number {
  return epilogue === undefined ? 0 : sizeOf(epilogue.shape) * flopsPerElement(epilogue.expression);
}
