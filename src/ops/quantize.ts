/**
 * Rounding to int8 and back. The arithmetic is exact: equal inputs give equal bits on every device.
 *
 * A value x is stored as the integer round(x / scale) + zeroPoint (Jacob et al. 2018); halves are rounded to even.
 */
import { aNumber, check, checkOptions, type Kinds } from "../core/check.js";
import { ArgumentError, DTypeError } from "../core/errors.js";
import { normalizeDims } from "../core/shape.js";
import type { ElementwiseOp } from "../graph/op.js";
import { requireTensor, tensorOrNumber } from "../graph/require.js";
import { inComposite } from "../graph/scope.js";
import { createNode, type Tensor } from "../graph/tensor.js";
import { expand } from "./broadcast.js";
import { ge, le, logicalAnd, lt, where } from "./comparison.js";
import { type CompositeRules, compose } from "./composite.js";
import { abs, add, clamp, mul, relu, round, sub } from "./elementwise.js";
import { cast, requireFloat } from "./promotion.js";
import { max } from "./reduce.js";
import { constant } from "./source.js";

/** Rows whose maximum magnitude is below 2⁻¹⁰⁰ are stored as zeros, so that 127 / maximum and maximum / 127 are normal numbers. */
const smallestRange = 7.888609052210118e-31;

const roundedMulOp: ElementwiseOp = { kind: "elementwise", name: "roundedMul", instruction: "roundedMul" };
const roundedDivOp: ElementwiseOp = { kind: "elementwise", name: "roundedDiv", instruction: "roundedDiv" };

/** The float32 nearest to a·b, the same on every device; b expands to the shape of a. */
function roundedMul(a: Tensor, b: Tensor): Tensor {
  return createNode(roundedMulOp, [a, expand(b, a.shape)], undefined, a.shape, "float32");
}

/** The float32 nearest to a/b. */
function roundedDiv(a: Tensor, b: Tensor): Tensor {
  return createNode(roundedDivOp, [a, b], undefined, a.shape, "float32");
}

function constantLike(x: Tensor, value: number): Tensor {
  return constant(value, x.shape, "float32", x.device);
}

/** The result of `quantizeDynamic`. */
export interface DynamicQuantization {
  /** int8, shape of x. */
  readonly values: Tensor;
  /** float32, shape of x with extents of 1 where it was reduced: x ≈ values · scales. */
  readonly scales: Tensor;
}

/** Options of `quantizeDynamic`. */
export interface DynamicOptions {
  /** Largest magnitude of the values: 127 for 8 bits, 63 for 7, 7 for 4. Default 127. */
  readonly levels?: number;
}

const dynamicOptions: Kinds<DynamicOptions> = { levels: aNumber };

/**
 * Rounds float32 x to int8 with one scale for all elements along `dims`: max|x|/levels, computed from the values. Rows of zeros (or
 * below 2^-100) have scale 0; rows with NaN or an infinity have that as their scale, so that the dequantized row is NaN. Not
 * differentiable.
 *
 * @example
 * const { values, scales } = quantizeDynamic(tensor([[1, -2], [0.5, 0.25]]), -1);
 * values; // [[64, -127], [127, 64]]
 * scales; // [[0.015748], [0.003937]]
 *
 * @throws DTypeError unless x is float32; ArgumentError for levels outside 1..127.
 */
export function quantizeDynamic(
  x: Tensor,
  dims: number | readonly number[],
  options: DynamicOptions = {},
): DynamicQuantization {
  const op = "quantizeDynamic";
  const { levels = 127 } = checkOptions(op, options, dynamicOptions);
  requireFloat(x, op);
  if (!Number.isInteger(levels) || levels < 1 || levels > 127) {
    throw new ArgumentError(`levels are a whole number from 1 to 127, got ${levels}`, { op });
  }
  return inComposite(op, () => {
    const largest = max(abs(x), normalizeDims(dims, x.rank, op), { keepdim: true });
    const most = constantLike(largest, levels);
    const isTiny = lt(largest, smallestRange);
    const inverse = where(isTiny, 0, roundedDiv(most, largest));
    const scales = where(isTiny, 0, roundedDiv(largest, most));
    return { values: cast(round(roundedMul(x, inverse)), "int8"), scales };
  });
}

/** An affine mapping between float32 and int8: x ≈ (q − zeroPoint) · scale (Jacob et al. 2018). */
export interface AffineQuantization {
  /** Above 0. */
  readonly scale: number;
  /** The integer that represents 0, −128 to 127. Default 0. */
  readonly zeroPoint?: number;
}

const affine: Kinds<AffineQuantization> = { scale: aNumber, zeroPoint: aNumber };

/** @throws ArgumentError */
function requireAffine(quantization: AffineQuantization, op: string): void {
  const { scale = Number.NaN, zeroPoint = 0 } = checkOptions(op, quantization, affine);
  const single = Math.fround(scale);
  if (!Number.isFinite(single) || single < smallestRange || !Number.isFinite(Math.fround(1 / single))) {
    throw new ArgumentError(`a scale is a finite number above 0, got ${scale}`, {
      op,
      hint: "calibrate with data in which the values are not all 0",
    });
  }
  if (!Number.isInteger(zeroPoint) || zeroPoint < -128 || zeroPoint > 127) {
    throw new ArgumentError(`a zero point is a whole number from -128 to 127, got ${zeroPoint}`, { op });
  }
}

/**
 * Rounds float32 x to int8 with a given scale and zero point: round(x/scale) + zeroPoint, saturated; NaN gives 0. Not differentiable;
 * see `fakeQuantize`.
 *
 * @example
 * quantizePerTensor(tensor([1, -1, 100]), { scale: 0.5, zeroPoint: 3 }); // [5, 1, 127]
 *
 * @throws DTypeError unless x is float32; ArgumentError for a scale that is not above 0.
 */
export function quantizePerTensor(x: Tensor, quantization: AffineQuantization): Tensor {
  const op = "quantizePerTensor";
  requireFloat(x, op);
  requireAffine(quantization, op);
  const { scale, zeroPoint = 0 } = quantization;
  return inComposite(op, () => {
    const inverse = constant(Math.fround(1 / Math.fround(scale)), [], "float32", x.device);
    return levels(roundedMul(x, inverse), zeroPoint);
  });
}

/** Numbers of steps as int8. */
function levels(steps: Tensor, zeroPoint: number): Tensor {
  const level = round(steps);
  return cast(zeroPoint === 0 ? level : add(level, zeroPoint), "int8");
}

/**
 * Accumulators of a quantized product as int8: float32(accumulator) · scale, one product rounded to float32 and then to the nearest
 * whole number (halves to even), plus `zeroPoint`, limited to −128..127, or from `zeroPoint` on with a ReLU. NaN becomes 0.
 * `scales` expand to the accumulators' shape.
 */
export function requantize(
  accumulators: Tensor,
  scales: Tensor,
  zeroPoint: number,
  withRelu: boolean,
): Tensor {
  const steps = roundedMul(cast(accumulators, "float32"), scales);
  return levels(withRelu ? relu(steps) : steps, zeroPoint);
}

/**
 * (x − zeroPoint) · scale as float32, for int8 x.
 *
 * @example
 * dequantize(tensor([5, 1], { dtype: "int8" }), { scale: 0.5, zeroPoint: 3 }); // [1, -1]
 *
 * @throws DTypeError unless x is int8; ArgumentError for a scale that is not above 0.
 */
export function dequantize(x: Tensor, quantization: AffineQuantization): Tensor {
  const op = "dequantize";
  if (requireTensor(op, x).dtype !== "int8") throw new DTypeError(`int8 is needed, got ${x.dtype}`, { op });
  requireAffine(quantization, op);
  const { scale, zeroPoint = 0 } = quantization;
  return inComposite(op, () => mul(cast(sub(cast(x, "int32"), zeroPoint), "float32"), scale));
}

/** Options of `fakeQuantize`. */
export interface FakeQuantizeOptions {
  /** The integer that represents 0: a number, or a float32 tensor that expands to x's shape. Default 0. */
  readonly zeroPoint?: Tensor | number;
  /** Smallest integer. Default −127. */
  readonly min?: number;
  /** Largest integer. Default 127. */
  readonly max?: number;
}

const fakeOptions: Kinds<FakeQuantizeOptions> = { zeroPoint: tensorOrNumber, min: aNumber, max: aNumber };

/** Inputs: x, scale, zero point, all of one shape. */
const fakeQuantization: CompositeRules<{ readonly min: number; readonly max: number }> = {
  name: "fakeQuantize",
  forward: ([x, scale, zeroPoint], { min, max: most }) => {
    const level = clamp(levelOf(x, scale, zeroPoint), { min, max: most });
    return mul(sub(level, zeroPoint), scale);
  },
  // As if rounding were the identity (the straight-through estimator, Bengio et al. 2013); 0 where a value was cut.
  gradient: ({ inputs: [x, scale, zeroPoint], gradient, attributes: { min, max: most } }) => {
    const level = levelOf(x, scale, zeroPoint);
    return [where(logicalAnd(ge(level, min), le(level, most)), gradient, 0), undefined, undefined];
  },
};

function levelOf(x: Tensor, scale: Tensor, zeroPoint: Tensor): Tensor {
  const inverse = where(lt(scale, smallestRange), 0, roundedDiv(constantLike(scale, 1), scale));
  return add(round(roundedMul(x, inverse)), zeroPoint);
}

/**
 * Rounds float32 x to integers and back, for quantization-aware training. `scale` is a number, or a float32 tensor that expands to
 * x's shape. The gradient for x is that of the identity inside the range and 0 outside; the scale gets none.
 *
 * @example
 * fakeQuantize(tensor([0.3, 1.2, 100]), 0.5, { max: 7 }); // [0.5, 1, 3.5]
 *
 * @throws DTypeError unless x is float32; ShapeError if the scale does not expand to its shape.
 */
export function fakeQuantize(x: Tensor, scale: Tensor | number, options: FakeQuantizeOptions = {}): Tensor {
  requireFloat(x, "fakeQuantize");
  check("fakeQuantize", "the scale", scale, tensorOrNumber);
  const { zeroPoint = 0, min = -127, max: most = 127 } = checkOptions("fakeQuantize", options, fakeOptions);
  const asTensor = (value: Tensor | number) =>
    typeof value === "number" ? constantLike(x, value) : expand(value, x.shape);
  return compose(fakeQuantization, [x, asTensor(scale), asTensor(zeroPoint)], { min, max: most });
}
