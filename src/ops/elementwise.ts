/** Elementwise ops: each one instruction of a fused expression, with its gradient beside it. */

import { aNumber, checkOptions, type Kinds } from "../core/check.js";
import { ArgumentError, DTypeError } from "../core/errors.js";
import { broadcastShapes } from "../core/shape.js";
import type { ElementwiseOp, GradientContext } from "../graph/op.js";
import { requireTensor } from "../graph/require.js";
import { createNode, type Tensor } from "../graph/tensor.js";
import { type BinaryOp, instructionOf, type UnaryOp } from "../kernels/instructions.js";
import { expand } from "./broadcast.js";
import { composite } from "./composite.js";
import {
  arithmeticOperands,
  asFloat,
  cast,
  operands,
  requireArithmetic,
  type TensorLike,
} from "./promotion.js";
import { constant } from "./source.js";

/** One instruction on inputs of one shape. */
function apply(op: ElementwiseOp, inputs: readonly Tensor[]): Tensor {
  const { shape, dtype } = inputs[inputs.length - 1];
  return createNode(op, inputs, undefined, shape, instructionOf(op.instruction).gives ?? dtype);
}

/* ---- operands of any dtype: comparisons, logic, selection ------------------------------------------- */

function comparison(name: string, instruction: BinaryOp) {
  const op: ElementwiseOp = { kind: "elementwise", name, instruction };
  return (a: TensorLike, b: TensorLike): Tensor => {
    return apply(op, operands(name, a, b));
  };
}

/** a = b, elementwise, as bool. NaN equals nothing. */
export const eq = comparison("eq", "eq");
/** a ≠ b, as bool. */
export const ne = comparison("ne", "ne");
/** a < b, as bool. */
export const lt = comparison("lt", "lt");
/** a ≤ b, as bool. */
export const le = comparison("le", "le");
/** a > b, as bool. */
export const gt = comparison("gt", "gt");
/** a ≥ b, as bool. */
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

/** Both non-zero, as bool. */
export const logicalAnd = logic("logicalAnd", "and");
/** One of them non-zero, as bool. */
export const logicalOr = logic("logicalOr", "or");
/** Exactly one of them non-zero, as bool. */
export const logicalXor = logic("logicalXor", "xor");

const notOp: ElementwiseOp = { kind: "elementwise", name: "logicalNot", instruction: "not" };

/** True where x is 0. */
export function logicalNot(x: Tensor): Tensor {
  return apply(notOp, [asBool("logicalNot", x)]);
}

const isnanOp: ElementwiseOp = { kind: "elementwise", name: "isnan", instruction: "isnan" };

/** True where x is not a number. */
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
 * a where `condition` (bool) holds, b elsewhere; all three broadcast.
 * @throws DTypeError if the condition is not bool.
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

/* ---- arithmetic with two operands -------------------------------------------------------------------- */

type Gradient = (context: GradientContext) => readonly (Tensor | undefined)[];

function binary(name: string, instruction: BinaryOp, gradient: Gradient) {
  const op: ElementwiseOp = { kind: "elementwise", name, instruction, gradient };
  return (a: TensorLike, b: TensorLike): Tensor => {
    return apply(op, arithmeticOperands(name, a, b));
  };
}

/** a + b. */
export const add = binary("add", "add", ({ gradient }) => [gradient, gradient]);

/** a − b. */
export const sub = binary("sub", "sub", ({ gradient, needs }) => [
  gradient,
  needs(1) ? neg(gradient) : undefined,
]);

/** a · b, elementwise. */
export const mul = binary("mul", "mul", ({ inputs: [a, b], gradient, needs }) => [
  needs(0) ? mul(gradient, b) : undefined,
  needs(1) ? mul(gradient, a) : undefined,
]);

// Not the gradient's quotient times a/b: one of them may be infinite where the other is 0.
const divide = binary("div", "div", ({ inputs: [, b], output, gradient, needs }) => [
  needs(0) ? divide(gradient, b) : undefined,
  needs(1) ? neg(mul(gradient, divide(output, b))) : undefined,
]);

/** a / b, true division: two int32 operands give float32. */
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

/** a to the power b. */
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

/** The remainder of a / b with the sign of b, as Python's %. */
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

/** The larger of both; NaN if one is NaN. */
export const maximum = binary("maximum", "max", extremumGradient(lt));
/** The smaller of both; NaN if one is NaN. */
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

/** −x. */
export const neg = unary("neg", ({ gradient }) => neg(gradient));
/** |x|; the gradient at 0 and at NaN is 0. */
export const abs = unary("abs", ({ gradient }, x) => mul(gradient, sign(x)));
/** −1, 0 or 1; 0 for NaN, as in PyTorch. */
export const sign = unary("sign", ({ gradient }) => zeroGradient(gradient));
/** max(x, 0); NaN stays NaN, and the gradient passes there. At 0 the gradient is 0. */
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

/** The largest whole number ≤ x. */
export const floor = rounding("floor");
/** The smallest whole number ≥ x. */
export const ceil = rounding("ceil");
/** The nearest whole number, halves to even. */
export const round = rounding("round");
/** x without its fraction. */
export const trunc = rounding("trunc");

/** eˣ. */
export const exp = unary("exp", ({ gradient }, _, y) => mul(gradient, y));
/** eˣ − 1, accurate for small x too. */
export const expm1 = unary("expm1", ({ gradient }, _, y) => mul(gradient, add(y, 1)));
/** The natural logarithm. */
export const log = unary("log", ({ gradient }, x) => divide(gradient, x));
/** log(1 + x), exact for small x too. */
export const log1p = unary("log1p", ({ gradient }, x) => divide(gradient, add(x, 1)));
/** √x. */
export const sqrt = unary("sqrt", ({ gradient }, _, y) => divide(mul(gradient, 0.5), y));
/** 1/√x. */
export const rsqrt = unary("rsqrt", ({ gradient }, _, y) => mul(mul(gradient, -0.5), mul(y, mul(y, y))));
/** 1/x. */
export const reciprocal = unary("reciprocal", ({ gradient }, _, y) => neg(mul(gradient, mul(y, y))));
/** sin x, x in radians. */
export const sin = unary("sin", ({ gradient }, x) => mul(gradient, cos(x)));
/** cos x, x in radians. */
export const cos = unary("cos", ({ gradient }, x) => neg(mul(gradient, sin(x))));
/** The hyperbolic tangent. */
export const tanh = unary("tanh", ({ gradient }, _, y) => mul(gradient, sub(1, mul(y, y))));
/** 1/(1 + e⁻ˣ). */
export const sigmoid = unary("sigmoid", ({ gradient }, _, y) => mul(gradient, mul(y, sub(1, y))));
/** The error function 2/√π ∫₀ˣ e^(−t²) dt. */
export const erf = unary("erf", ({ gradient }, x) =>
  mul(gradient, mul(exp(neg(mul(x, x))), 2 / Math.sqrt(Math.PI))),
);

/** x². */
export function square(x: Tensor): Tensor {
  requireArithmetic(x, "square");
  return mul(x, x);
}

export interface ClampOptions {
  /** Default: no lower bound. */
  readonly min?: number;
  /** Default: no upper bound. */
  readonly max?: number;
}

const clampOptions: Kinds<ClampOptions> = { min: aNumber, max: aNumber };

const clampTo = composite<ClampOptions>({
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

/** x limited to [min, max]; NaN stays NaN. The gradient is 1 between the bounds and 0 on them, as in PyTorch 2.15. */
export function clamp(x: Tensor, options: ClampOptions): Tensor {
  requireTensor("clamp", x);
  return clampTo([x], checkOptions("clamp", options, clampOptions));
}
