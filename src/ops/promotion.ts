/** Promotion of operands: numbers become constants, dtypes promote, shapes broadcast. */

import { aDType, check, wrong } from "../core/check.js";
import { type DType, isArithmetic, isFloat, isHalf } from "../core/dtype.js";
import { ArgumentError, DTypeError } from "../core/errors.js";
import { broadcastShapes } from "../core/shape.js";
import type { ElementwiseOp } from "../graph/op.js";
import { requireTensor, tensorOrNumber } from "../graph/require.js";
import { createNode, Tensor } from "../graph/tensor.js";
import { expand } from "./broadcast.js";
import { constant } from "./source.js";

/** An operand of an elementwise op. A number takes the shape of the other operand and, if that dtype can represent it, its dtype. */
export type TensorLike = Tensor | number;

// No gradient: float32 → float32 never makes a node, and no other dtype carries gradients.
const castOp: ElementwiseOp = { kind: "elementwise", name: "cast", instruction: "cast" };

/**
 * Converts to `dtype`, with the same bits on every device: float32 → float16 and bfloat16 rounds to nearest, ties
 * to even; float → int truncates towards zero and saturates at the bounds of the
 * dtype (NaN gives 0), integers → uint8/int8 keep the low bits, anything → bool is `!= 0` (NaN is true). Not differentiable.
 *
 * @example
 * cast(tensor([1.7, -1.7, 300]), "int8"); // [1, -1, 127]
 */
export function cast(x: Tensor, dtype: DType): Tensor {
  if (requireTensor("cast", x).dtype === dtype) return x;
  check("cast", "the dtype", dtype, aDType);
  return createNode(castOp, [x], undefined, x.shape, dtype);
}

/** @throws DTypeError unless arithmetic is defined on the dtype of x. */
export function requireArithmetic(x: Tensor, op: string): void {
  if (!isArithmetic(requireTensor(op, x).dtype)) {
    throw new DTypeError(`arithmetic is defined on float32 and int32, not ${x.dtype}`, {
      op,
      hint: 'convert first with cast(x, "float32")',
    });
  }
}

/** x as float32, for functions with fractional values; int32 is converted. */
export function asFloat(x: Tensor, op: string): Tensor {
  requireArithmetic(x, op);
  return cast(x, "float32");
}

/** @throws DTypeError unless x is float32, for kernels that take nothing else. */
export function requireFloat(x: Tensor, op: string, name?: string): void {
  if (requireTensor(op, x, name).dtype !== "float32") {
    throw new DTypeError(`float32 is needed, got ${x.dtype}`, {
      op,
      hint: 'convert first with cast(x, "float32")',
    });
  }
}

/** @throws DTypeError unless x is float32 or halves, for kernels that widen their weights. */
export function requireWeight(x: Tensor, op: string): void {
  if (!isHalf(x?.dtype)) requireFloat(x, op, "the weight");
}

/** An index tensor as int32; uint8 and int8 are converted. @throws DTypeError for floats and bool. */
export function asIndex(index: Tensor, op: string): Tensor {
  requireTensor(op, index, "the index");
  if (isFloat(index.dtype) || index.dtype === "bool") {
    throw new DTypeError(`indices are integers, got ${index.dtype}`, {
      op,
      hint: 'convert first with cast(index, "int32")',
    });
  }
  return cast(index, "int32");
}

/** Same dtype and shape for both: floats meet integers in float32, differing integers meet in int32. */
export function operands(op: string, a: TensorLike, b: TensorLike): [Tensor, Tensor] {
  requireOperand(op, a);
  requireOperand(op, b);
  if (typeof a === "number") {
    if (typeof b === "number") throw new ArgumentError("at least one operand is a tensor", { op });
    const dtype = numberDType(a, b.dtype);
    return [constant(a, b.shape, dtype, b.device), cast(b, dtype)];
  }
  if (typeof b === "number") {
    const dtype = numberDType(b, a.dtype);
    return [cast(a, dtype), constant(b, a.shape, dtype, a.device)];
  }
  const dtype = promoteDTypes(a.dtype, b.dtype);
  const shape = broadcastShapes(a.shape, b.shape, op);
  return [expand(cast(a, dtype), shape), expand(cast(b, dtype), shape)];
}

function requireOperand(op: string, value: TensorLike): void {
  if (!(value instanceof Tensor) && typeof value !== "number")
    throw wrong(op, "an operand", value, tensorOrNumber);
}

/** As `operands`, for arithmetic. @throws DTypeError for dtypes other than float32 and int32. */
export function arithmeticOperands(op: string, a: TensorLike, b: TensorLike): [Tensor, Tensor] {
  if (typeof a !== "number") requireArithmetic(a, op);
  if (typeof b !== "number") requireArithmetic(b, op);
  return operands(op, a, b);
}

function promoteDTypes(a: DType, b: DType): DType {
  if (a === b) return a;
  return isFloat(a) || isFloat(b) ? "float32" : "int32";
}

/** The dtype in which a tensor of `dtype` meets a number: a fraction makes it float32, as in PyTorch. */
function numberDType(value: number, dtype: DType): DType {
  if (!Number.isInteger(value) || Math.abs(value) >= 2 ** 31) return "float32";
  return isFloat(dtype) ? "float32" : "int32";
}
