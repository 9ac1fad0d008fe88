/** Epilogues: elementwise work on a kernel's result before it is stored. */
import type { DType } from "../core/dtype.js";
import { type Shape, sameShape, sizeOf } from "../core/shape.js";
import { rowMajor, type View } from "../core/view.js";
import { type Expression, flopsPerElement, type MapCall } from "./expression.js";
import type { Operand } from "./operand.js";

/**
 * The output is the expression's one result, for every element. `load` 0 of the expression is the element that the kernel
 * itself computed, its value; `load` i the element of `inputs[i − 1]` at the same position. No input shares memory with the output.
 * Values and results of float kernels are float32; quantized products tell their value's dtype, and the result may have any. Calls
 * that reduce over nothing have no epilogue.
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

/** The dtype of the values; the output's unless the expression changes it. */
export function valueDType(output: Operand, { expression }: Epilogue): DType {
  const load = expression.instructions.find(({ op, index }) => op === "load" && index === 0);
  return load?.dtype ?? output.dtype;
}

/** The epilogue as a map over the kernel's values, which may lie in the output: for devices and layouts that apply it in a second pass. */
export function epilogueMap(
  value: Operand,
  output: Operand,
  { shape, inputs, expression }: Epilogue,
): MapCall {
  const seen = (operand: Operand) => ({ ...operand, view: seenAs(operand.view, shape) });
  return { kernel: "map", shape, inputs: [seen(value), ...inputs], outputs: [seen(output)], expression };
}

function seenAs(view: View, shape: Shape): View {
  return sameShape(view.shape, shape) ? view : { ...rowMajor(shape), offset: view.offset };
}

/** Floating-point operations: 1 per element for each arithmetic instruction. */
export function epilogueFlops({ epilogue }: WithEpilogue): number {
  return epilogue === undefined ? 0 : sizeOf(epilogue.shape) * flopsPerElement(epilogue.expression);
}
