/** Epilogues: elementwise work on a kernel's result before it is stored. */
import type { DType } from "../core/dtype.js";
import { type Shape, sameShape, sizeOf } from "../core/shape.js";
import { rowMajor, type View } from "../core/view.js";
import { type Expression, flopsPerElement, type MapCall } from "./expression.js";
import type { Operand } from "./operand.js";

/**
 * An expression with one result, which replaces each element of the kernel's output. `load` 0 is the kernel's own value for that
 * element, `load` i > 0 the element of `inputs[i − 1]` at the same position. No input shares memory with the output.
 *
 * For float kernels, value and result are float32. For quantized products, `load` 0 has the dtype of the value (int32 or float32) and
 * the result may have any dtype. Empty reductions never have an epilogue: the compiler does not attach one.
 */
export interface Epilogue {
  /** Shape of the inputs' views: the output's, or for a row-major output a reshape of it. */
  readonly shape: Shape;
  readonly inputs: readonly Operand[];
  readonly expression: Expression;
}

/** Kernel calls that may have an epilogue. */
export interface WithEpilogue {
  readonly epilogue?: Epilogue;
}

/** The dtype of the kernel's values: that of `load` 0, or the output's if the expression does not use the value. */
export function valueDType(output: Operand, { expression }: Epilogue): DType {
  const load = expression.instructions.find(({ op, index }) => op === "load" && index === 0);
  return load?.dtype ?? output.dtype;
}

/** The epilogue as a separate map from `value` to `output` (which may be the same memory), for devices that apply it in a second pass. */
export function epilogueMap(
  value: Operand,
  output: Operand,
  { shape, inputs, expression }: Epilogue,
): MapCall {
  const reshaped = (operand: Operand) => ({ ...operand, view: reshapedView(operand.view, shape) });
  return {
    kernel: "map",
    shape,
    inputs: [reshaped(value), ...inputs],
    outputs: [reshaped(output)],
    expression,
  };
}

function reshapedView(view: View, shape: Shape): View {
  return sameShape(view.shape, shape) ? view : { ...rowMajor(shape), offset: view.offset };
}

/** Floating-point operations: 1 per element for each arithmetic instruction. */
export function epilogueFlops({ epilogue }: WithEpilogue): number {
  return epilogue === undefined ? 0 : sizeOf(epilogue.shape) * flopsPerElement(epilogue.expression);
}
