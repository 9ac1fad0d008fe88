/** Comparisons, logic and selection: elementwise ops whose result, or condition, is bool. */

import { DTypeError } from "../core/errors.js";
import { broadcastShapes } from "../core/shape.js";
import type { ElementwiseOp } from "../graph/op.js";
import { requireTensor } from "../graph/require.js";
import { createNode, type Tensor } from "../graph/tensor.js";
import { type BinaryOp, instructionOf } from "../kernels/instructions.js";
import { expand } from "./broadcast.js";
import { cast, operands, type TensorLike } from "./promotion.js";
import { constant } from "./source.js";

/** One instruction on inputs of one shape. */
export function apply(op: ElementwiseOp, inputs: readonly Tensor[]): Tensor {
  const { shape, dtype } = inputs[inputs.length - 1];
  return createNode(op, inputs, undefined, shape, instructionOf(op.instruction).resultDType ?? dtype);
}

function comparison(name: string, instruction: BinaryOp) {
  const op: ElementwiseOp = { kind: "elementwise", name, instruction };
  return (a: TensorLike, b: TensorLike): Tensor => {
    return apply(op, operands(name, a, b));
  };
}

/**
 * a = b elementwise, as bool. Operands of any dtype are promoted and broadcast; NaN equals nothing, not even NaN.
 *
 * @example
 * eq(tensor([1, 2, 3]), 2); // [false, true, false]
 */
export const eq = comparison("eq", "eq");
/**
 * a ≠ b elementwise, as bool; operands as for `eq`. NaN differs from everything.
 *
 * @example
 * ne(tensor([1, 2, 3]), 2); // [true, false, true]
 */
export const ne = comparison("ne", "ne");
/**
 * a < b elementwise, as bool; operands as for `eq`. False where an operand is NaN.
 *
 * @example
 * lt(tensor([1, 2, 3]), 2); // [true, false, false]
 */
export const lt = comparison("lt", "lt");
/**
 * a ≤ b elementwise, as bool; operands as for `eq`. False where an operand is NaN.
 *
 * @example
 * le(tensor([1, 2, 3]), 2); // [true, true, false]
 */
export const le = comparison("le", "le");
/**
 * a > b elementwise, as bool; operands as for `eq`. False where an operand is NaN.
 *
 * @example
 * gt(tensor([1, 2, 3]), 2); // [false, false, true]
 */
export const gt = comparison("gt", "gt");
/**
 * a ≥ b elementwise, as bool; operands as for `eq`. False where an operand is NaN.
 *
 * @example
 * ge(tensor([1, 2, 3]), 2); // [false, true, true]
 */
export const ge = comparison("ge", "ge");

function asBool(op: string, x: Tensor): Tensor {
  return cast(requireTensor(op, x), "bool");
}

function logic(name: string, instruction: BinaryOp) {
  const op: ElementwiseOp = { kind: "elementwise", name, instruction };
  return (a: Tensor, b: Tensor): Tensor => {
    return apply(op, operands(name, asBool(name, a), asBool(name, b)));
  };
}

/**
 * True where a and b are both non-zero; bool. Tensors of any dtype, which broadcast.
 *
 * @example
 * logicalAnd(tensor([0, 1, 2]), tensor([3, 0, 4])); // [false, false, true]
 */
export const logicalAnd = logic("logicalAnd", "and");
/**
 * True where a or b is non-zero; bool. Tensors of any dtype, which broadcast.
 *
 * @example
 * logicalOr(tensor([0, 1, 0]), tensor([3, 0, 0])); // [true, true, false]
 */
export const logicalOr = logic("logicalOr", "or");
/**
 * True where exactly one of a and b is non-zero; bool. Tensors of any dtype, which broadcast.
 *
 * @example
 * logicalXor(tensor([0, 1, 2]), tensor([3, 0, 4])); // [true, true, false]
 */
export const logicalXor = logic("logicalXor", "xor");

const notOp: ElementwiseOp = { kind: "elementwise", name: "logicalNot", instruction: "not" };

/**
 * True where x is 0; bool. Any dtype.
 *
 * @example
 * logicalNot(tensor([0, 1, 2])); // [true, false, false]
 */
export function logicalNot(x: Tensor): Tensor {
  return apply(notOp, [asBool("logicalNot", x)]);
}

const isnanOp: ElementwiseOp = { kind: "elementwise", name: "isnan", instruction: "isnan" };

/**
 * True where x is NaN; bool. Any dtype; integers are never NaN.
 *
 * @example
 * isnan(tensor([1, NaN])); // [false, true]
 */
export function isnan(x: Tensor): Tensor {
  return apply(isnanOp, [cast(requireTensor("isnan", x), "float32")]);
}

const whereOp: ElementwiseOp = {
  kind: "elementwise",
  name: "where",
  instruction: "where",
  gradient: ({ inputs: [condition], gradient, needs }) => [
    undefined,
    needs(1) ? where(condition, gradient, 0) : undefined,
    needs(2) ? where(condition, 0, gradient) : undefined,
  ],
};

/**
 * a where `condition` (bool) is true, b elsewhere. All three broadcast; a and b are promoted to one dtype, and two numbers give
 * float32. Elements that are not chosen get a gradient of 0.
 *
 * @example
 * where(tensor([true, false]), tensor([1, 2]), 0); // [1, 0]
 *
 * @throws DTypeError if the condition is not bool, ShapeError if the shapes do not broadcast.
 */
export function where(condition: Tensor, a: TensorLike, b: TensorLike): Tensor {
  if (requireTensor("where", condition, "the condition").dtype !== "bool") {
    throw new DTypeError(`the condition is bool, got ${condition.dtype}`, {
      op: "where",
      hint: "make one with a comparison",
    });
  }
  const { device } = condition;
  const first =
    typeof a === "number" && typeof b === "number" ? constant(a, condition.shape, "float32", device) : a;
  const [x, y] = operands("where", first, b);
  const shape = broadcastShapes(condition.shape, x.shape, "where");
  return apply(whereOp, [expand(condition, shape), expand(x, shape), expand(y, shape)]);
}
