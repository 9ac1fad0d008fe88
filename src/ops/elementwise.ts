/** Elementwise arithmetic: each op one instruction of a fused expression, with its gradient beside it. */

import { aNumber, checkOptions, type Kinds } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { ElementwiseOp, GradientContext } from "../graph/op.js";
import { requireTensor } from "../graph/require.js";
import type { Tensor } from "../graph/tensor.js";
import { type BinaryOp, instructionOf, type UnaryOp } from "../kernels/instructions.js";
import { apply, eq, ge, gt, le, logicalAnd, logicalXor, lt, ne, where } from "./comparison.js";
import { composite } from "./composite.js";
import { arithmeticOperands, asFloat, requireArithmetic, type TensorLike } from "./promotion.js";
import { constant } from "./source.js";

/* ---- arithmetic with two operands -------------------------------------------------------------------- */

type Gradient = (context: GradientContext) => readonly (Tensor | undefined)[];

function binary(name: string, instruction: BinaryOp, gradient: Gradient) {
  const op: ElementwiseOp = { kind: "elementwise", name, instruction, gradient };
  return (a: TensorLike, b: TensorLike): Tensor => {
    return apply(op, arithmeticOperands(name, a, b));
  };
}

/**
 * a + b elementwise. Operands are float32 or int32 and broadcast; float32 and int32 give float32. A number takes the dtype of the
 * tensor, but a fraction, or an integer outside int32's range, makes the result float32. int32 wraps on overflow.
 *
 * @example
 * add(tensor([[1, 2], [3, 4]]), tensor([10, 20])); // [[11, 22], [13, 24]]
 * add(tensor([1, 2], { dtype: "int32" }), 0.5); // [1.5, 2.5]
 *
 * @throws DTypeError for bool, uint8 and int8; ShapeError if the shapes do not broadcast.
 */
export const add = binary("add", "add", ({ gradient }) => [gradient, gradient]);

/**
 * a − b elementwise; operands, dtypes and errors as for `add`.
 *
 * @example
 * sub(10, tensor([1, 2])); // [9, 8]
 */
export const sub = binary("sub", "sub", ({ gradient, needs }) => [
  gradient,
  needs(1) ? neg(gradient) : undefined,
]);

/**
 * a · b elementwise (not the matrix product, which is `matmul`); operands, dtypes and errors as for `add`.
 *
 * @example
 * mul(tensor([1, 2, 3]), tensor([[1], [10]])); // [[1, 2, 3], [10, 20, 30]]
 */
export const mul = binary("mul", "mul", ({ inputs: [a, b], gradient, needs }) => [
  needs(0) ? mul(gradient, b) : undefined,
  needs(1) ? mul(gradient, a) : undefined,
]);

// Not the gradient's quotient times a/b: one of them may be infinite where the other is 0.
const divide = binary("div", "div", ({ inputs: [, b], output, gradient, needs }) => [
  needs(0) ? divide(gradient, b) : undefined,
  needs(1) ? neg(mul(gradient, divide(output, b))) : undefined,
]);

/**
 * a / b elementwise, in float32: two int32 operands give float32, too. Division by 0 gives ±∞ or NaN. Other errors as for `add`.
 *
 * @example
 * div(tensor([1, 2], { dtype: "int32" }), 4); // [0.25, 0.5]
 */
export function div(a: TensorLike, b: TensorLike): Tensor {
  const float = (x: TensorLike) => (typeof x === "number" ? x : asFloat(x, "div"));
  return divide(float(a), float(b));
}

// Masking the operands, not the results, keeps 0·∞ out of second derivatives too.
const power = binary("pow", "pow", ({ inputs: [a, b], output, gradient, needs }) => [
  // d/da a^b = b·a^(b-1), which is 0 where b = 0, whatever a is.
  needs(0) ? mul(gradient, mul(b, power(where(eq(b, 0), 1, a), sub(b, 1)))) : undefined,
  // d/db a^b = a^b·ln a, with the limit 0 at a = 0.
  needs(1) ? mul(gradient, mul(output, log(where(logicalAnd(eq(a, 0), ge(b, 0)), 1, a)))) : undefined,
]);

/**
 * aᵇ elementwise; operands and dtypes as for `add`. A negative float32 base gives NaN for fractional exponents. The gradient for
 * b at a = 0, b ≥ 0 is 0, the limit.
 *
 * @example
 * pow(tensor([1, 2, 3]), 2); // [1, 4, 9]
 * pow(tensor([2, 3], { dtype: "int32" }), -1); // throws ArgumentError
 *
 * @throws ArgumentError for an int32 tensor to a negative whole number; otherwise as `add`.
 */
export function pow(a: TensorLike, b: TensorLike): Tensor {
  if (typeof a !== "number") {
    requireArithmetic(a, "pow");
    if (a.dtype === "int32" && typeof b === "number" && b < 0 && Number.isInteger(b)) {
      throw new ArgumentError(`int32 has no powers of ${b}`, {
        op: "pow",
        hint: 'convert first with cast(x, "float32")',
      });
    }
    // The exponents of everyday use, as products and roots: faster, and exact.
    if (b === 1) return a;
    if (b === 2) return square(a);
    if (b === 3) return mul(square(a), a);
    if (b === 0.5) return sqrt(a);
    if (b === -1) return reciprocal(a);
    if (b === -0.5) return rsqrt(a);
  }
  return power(a, b);
}

/**
 * The remainder of a / b with the sign of b, as Python's %; operands, dtypes and errors as for `add`.
 *
 * @example
 * mod(tensor([-7, 7]), 3); // [2, 1]
 */
export const mod = binary("mod", "mod", ({ inputs: [a, b], gradient, needs }) => [
  gradient,
  needs(1) ? neg(mul(gradient, floorOfQuotient(a, b))) : undefined,
]);

/** ⌊a/b⌋: −1 where a negative a/b rounds to 0, and NaN for an infinite a, as in PyTorch. */
function floorOfQuotient(a: Tensor, b: Tensor): Tensor {
  const quotient = floor(divide(a, b));
  const isBelow = logicalAnd(logicalAnd(eq(quotient, 0), ne(a, 0)), logicalXor(lt(a, 0), lt(b, 0)));
  const isEndless = logicalAnd(eq(abs(a), Number.POSITIVE_INFINITY), ne(b, 0));
  return where(isEndless, Number.NaN, where(isBelow, -1, quotient));
}

/** At ties both operands get half of the gradient, and all of it where one is NaN, as in PyTorch. */
function extremumGradient(loses: (a: Tensor, b: Tensor) => Tensor): Gradient {
  return ({ inputs: [a, b], gradient, needs }) => {
    const half = mul(gradient, 0.5);
    const share = (x: Tensor, y: Tensor) => where(eq(x, y), half, where(loses(x, y), 0, gradient));
    return [needs(0) ? share(a, b) : undefined, needs(1) ? share(b, a) : undefined];
  };
}

/**
 * The larger of a and b elementwise, NaN if one is NaN; operands, dtypes and errors as for `add`. Where both are equal each gets
 * half of the gradient, as in PyTorch.
 *
 * @example
 * maximum(tensor([1, 5]), tensor([3, 2])); // [3, 5]
 */
export const maximum = binary("maximum", "max", extremumGradient(lt));
/**
 * The smaller of a and b elementwise, NaN if one is NaN; operands, gradient and errors as for `maximum`.
 *
 * @example
 * minimum(tensor([1, 5]), tensor([3, 2])); // [1, 2]
 */
export const minimum = binary("minimum", "min", extremumGradient(gt));

/* ---- one operand ------------------------------------------------------------------------------------- */

/** The derivative of y for x, times the gradient. */
type Derivative = (context: GradientContext, x: Tensor, y: Tensor) => Tensor;

/** An op on float32, to which int32 is converted, or on both, as its instruction accepts. */
function unary(name: UnaryOp, derivative: Derivative) {
  const op: ElementwiseOp = {
    kind: "elementwise",
    name,
    instruction: name,
    gradient: (context) => [derivative(context, context.inputs[0], context.output)],
  };
  const isFloat = instructionOf(name).accepts === "float32";
  return (x: Tensor): Tensor => {
    if (!isFloat) requireArithmetic(x, name);
    return apply(op, [isFloat ? asFloat(x, name) : x]);
  };
}

/**
 * −x, for float32 or int32.
 *
 * @example
 * neg(tensor([1, -2])); // [-1, 2]
 */
export const neg = unary("neg", ({ gradient }) => neg(gradient));
/**
 * |x|, for float32 or int32. The gradient at 0 and at NaN is 0.
 *
 * @example
 * abs(tensor([-1, 2])); // [1, 2]
 */
export const abs = unary("abs", ({ gradient }, x) => mul(gradient, sign(x)));
/**
 * −1, 0 or 1, for float32 or int32; 0 for NaN, as in PyTorch. The gradient is 0.
 *
 * @example
 * sign(tensor([-3, 0, 5])); // [-1, 0, 1]
 */
export const sign = unary("sign", ({ gradient }) => zeroGradient(gradient));
/**
 * max(x, 0), for float32 or int32; NaN stays NaN. The gradient is 1 where x > 0 or x is NaN, and 0 elsewhere.
 *
 * @example
 * relu(tensor([-1, 0, 2])); // [0, 0, 2]
 */
export const relu = unary("relu", ({ gradient }, _, y) => where(le(y, 0), 0, gradient));

/** The gradient of step functions, 0 almost everywhere. */
function zeroGradient({ shape, dtype, device }: Tensor): Tensor {
  return constant(0, shape, dtype, device);
}

/** Integers are whole already, so rounding leaves int32 alone. */
function rounding(name: "floor" | "ceil" | "round" | "trunc") {
  const apply = unary(name, ({ gradient }) => zeroGradient(gradient));
  return (x: Tensor): Tensor => {
    requireArithmetic(x, name);
    return x.dtype === "int32" ? x : apply(x);
  };
}

/**
 * ⌊x⌋, the largest integer ≤ x; the dtype is that of x (float32 or int32). The gradient is 0.
 *
 * @example
 * floor(tensor([1.7, -1.2])); // [1, -2]
 */
export const floor = rounding("floor");
/**
 * ⌈x⌉, the smallest integer ≥ x; the dtype is that of x (float32 or int32). The gradient is 0.
 *
 * @example
 * ceil(tensor([1.2, -1.7])); // [2, -1]
 */
export const ceil = rounding("ceil");
/**
 * The nearest integer, with halves rounded to even; the dtype is that of x (float32 or int32). The gradient is 0.
 *
 * @example
 * round(tensor([0.5, 1.5, 2.6])); // [0, 2, 3]
 */
export const round = rounding("round");
/**
 * x without its fraction, rounded towards 0; the dtype is that of x (float32 or int32). The gradient is 0.
 *
 * @example
 * trunc(tensor([1.7, -1.7])); // [1, -1]
 */
export const trunc = rounding("trunc");

/**
 * eˣ. float32; int32 is converted.
 *
 * @example
 * exp(tensor([0, 1])); // [1, 2.7183]
 */
export const exp = unary("exp", ({ gradient }, _, y) => mul(gradient, y));
/**
 * eˣ − 1, accurate for small |x|. float32; int32 is converted.
 *
 * @example
 * expm1(tensor([1e-8])); // [1e-8]
 */
export const expm1 = unary("expm1", ({ gradient }, _, y) => mul(gradient, add(y, 1)));
/**
 * The natural logarithm: −∞ at 0, NaN below. float32; int32 is converted.
 *
 * @example
 * log(tensor([1, Math.E])); // [0, 1]
 */
export const log = unary("log", ({ gradient }, x) => divide(gradient, x));
/**
 * log(1 + x), accurate for small |x|. float32; int32 is converted.
 *
 * @example
 * log1p(tensor([1e-8])); // [1e-8]
 */
export const log1p = unary("log1p", ({ gradient }, x) => divide(gradient, add(x, 1)));
/**
 * √x, NaN below 0. float32; int32 is converted.
 *
 * @example
 * sqrt(tensor([4, 2])); // [2, 1.4142]
 */
export const sqrt = unary("sqrt", ({ gradient }, _, y) => divide(mul(gradient, 0.5), y));
/**
 * 1/√x. float32; int32 is converted.
 *
 * @example
 * rsqrt(tensor([4, 16])); // [0.5, 0.25]
 */
export const rsqrt = unary("rsqrt", ({ gradient }, _, y) => mul(mul(gradient, -0.5), mul(y, mul(y, y))));
/**
 * 1/x. float32; int32 is converted.
 *
 * @example
 * reciprocal(tensor([2, 4])); // [0.5, 0.25]
 */
export const reciprocal = unary("reciprocal", ({ gradient }, _, y) => neg(mul(gradient, mul(y, y))));
/**
 * sin x, x in radians. float32; int32 is converted.
 *
 * @example
 * sin(tensor([0, Math.PI / 2])); // [0, 1]
 */
export const sin = unary("sin", ({ gradient }, x) => mul(gradient, cos(x)));
/**
 * cos x, x in radians. float32; int32 is converted.
 *
 * @example
 * cos(tensor([0, Math.PI])); // [1, -1]
 */
export const cos = unary("cos", ({ gradient }, x) => neg(mul(gradient, sin(x))));
/**
 * The hyperbolic tangent. float32; int32 is converted.
 *
 * @example
 * tanh(tensor([0, 1])); // [0, 0.7616]
 */
export const tanh = unary("tanh", ({ gradient }, _, y) => mul(gradient, sub(1, mul(y, y))));
/**
 * The logistic function 1/(1 + e⁻ˣ). float32; int32 is converted.
 *
 * @example
 * sigmoid(tensor([0, 2])); // [0.5, 0.8808]
 */
export const sigmoid = unary("sigmoid", ({ gradient }, _, y) => mul(gradient, mul(y, sub(1, y))));
/**
 * The error function 2/√π ∫₀ˣ e^(−t²) dt. float32; int32 is converted.
 *
 * @example
 * erf(tensor([0, 1])); // [0, 0.8427]
 */
export const erf = unary("erf", ({ gradient }, x) =>
  mul(gradient, mul(exp(neg(mul(x, x))), 2 / Math.sqrt(Math.PI))),
);

/**
 * x², for float32 or int32.
 *
 * @example
 * square(tensor([2, -3])); // [4, 9]
 */
export function square(x: Tensor): Tensor {
  requireArithmetic(x, "square");
  return mul(x, x);
}

/** The bounds of `clamp`; at least one is usual, none returns the values unchanged. */
export interface ClampOptions {
  /** Default: no lower bound. */
  readonly min?: number;
  /** Default: no upper bound. */
  readonly max?: number;
}

const clampOptions: Kinds<ClampOptions> = { min: aNumber, max: aNumber };

const clampTo = composite<ClampOptions>({
  name: "clamp",
  forward: ([x], { min, max }) => {
    const raised = min === undefined ? x : where(lt(x, min), min, x);
    return max === undefined ? raised : where(gt(raised, max), max, raised);
  },
  gradient: ({ inputs: [x], gradient, attributes: { min, max } }) => {
    let passed = gradient;
    if (min !== undefined) passed = where(gt(x, min), passed, 0);
    if (max !== undefined) passed = where(lt(x, max), passed, 0);
    return [passed];
  },
});

/**
 * x limited to [min, max], for float32 or int32; NaN stays NaN. The gradient is 1 between the bounds and 0 on and beyond them, as in
 * PyTorch 2.15.
 *
 * @example
 * clamp(tensor([-2, 0.5, 3]), { min: 0, max: 1 }); // [0, 0.5, 1]
 */
export function clamp(x: Tensor, options: ClampOptions): Tensor {
  requireTensor("clamp", x);
  return clampTo([x], checkOptions("clamp", options, clampOptions));
}
