/** Activation functions, each with a hand-derived gradient that needs one pass over memory. */
import { aNumber, check, checkOptions, type Kinds, oneOf } from "../core/check.js";
import { inComposite } from "../graph/scope.js";
import type { Tensor } from "../graph/tensor.js";
import { gt, where } from "./comparison.js";
import { composite } from "./composite.js";
import { abs, add, erf, exp, log1p, mul, neg, relu, sigmoid, sub, tanh } from "./elementwise.js";
import { asFloat } from "./promotion.js";

const normalDensity = (x: Tensor) => mul(exp(mul(mul(x, x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
const normalDistribution = (x: Tensor) => mul(add(erf(mul(x, Math.SQRT1_2)), 1), 0.5);

/** x·Φ(x), with derivative Φ(x) + x·φ(x). */
const exactGelu = composite<undefined>({
  name: "gelu",
  forward: ([x]) => mul(x, normalDistribution(x)),
  gradient: ({ inputs: [x], gradient }) => [
    mul(gradient, add(normalDistribution(x), mul(x, normalDensity(x)))),
  ],
});

const tanhGeluScale = Math.sqrt(2 / Math.PI);
const tanhGeluCubic = 0.044715;
const tanhGeluArgument = (x: Tensor) => mul(mul(x, add(mul(mul(x, x), tanhGeluCubic), 1)), tanhGeluScale);

/** ½x(1 + tanh u) with u = √(2/π)(x + 0.044715x³): derivative ½(1 + tanh u) + ½x(1 − tanh²u)u′. */
const tanhGelu = composite<undefined>({
  name: "gelu",
  forward: ([x]) => mul(mul(x, 0.5), add(tanh(tanhGeluArgument(x)), 1)),
  gradient: ({ inputs: [x], gradient }) => {
    const t = tanh(tanhGeluArgument(x));
    const slope = mul(add(mul(mul(x, x), 3 * tanhGeluCubic), 1), tanhGeluScale);
    const inner = mul(mul(x, sub(1, mul(t, t))), slope);
    return [mul(gradient, mul(add(add(t, 1), inner), 0.5))];
  },
});

/** Options of `gelu` and `GELU`. */
export interface GeluOptions {
  /** "none" uses the error function, "tanh" the approximation of GPT-2. Default "none". */
  readonly approximate?: "none" | "tanh";
}

export const geluOptions: Kinds<GeluOptions> = { approximate: oneOf("none", "tanh") };

/**
 * The Gaussian error linear unit x·Φ(x), Φ the normal distribution function (Hendrycks and Gimpel 2016). float32; int32 is converted.
 *
 * @example
 * gelu(tensor([-1, 0, 1])); // [-0.1587, 0, 0.8413]
 * gelu(tensor([1]), { approximate: "tanh" }); // [0.8412]
 */
export function gelu(x: Tensor, options: GeluOptions = {}): Tensor {
  const { approximate } = checkOptions("gelu", options, geluOptions);
  return (approximate === "tanh" ? tanhGelu : exactGelu)([asFloat(x, "gelu")], undefined);
}

const siluOf = composite<undefined>({
  name: "silu",
  forward: ([x]) => mul(x, sigmoid(x)),
  gradient: ({ inputs: [x], gradient }) => {
    const s = sigmoid(x);
    return [mul(gradient, mul(s, add(mul(x, sub(1, s)), 1)))];
  },
});

/**
 * x · sigmoid(x), also called swish (Elfwing et al. 2018). float32; int32 is converted.
 *
 * @example
 * silu(tensor([0, 1])); // [0, 0.7311]
 */
export function silu(x: Tensor): Tensor {
  return siluOf([asFloat(x, "silu")], undefined);
}

const softplusOf = composite<undefined>({
  name: "softplus",
  forward: ([x]) => add(relu(x), log1p(exp(neg(abs(x))))),
  gradient: ({ inputs: [x], gradient }) => [mul(gradient, sigmoid(x))],
});

/**
 * log(1 + eˣ), without overflow. float32; int32 is converted.
 *
 * @example
 * softplus(tensor([0, 100])); // [0.6931, 100]
 */
export function softplus(x: Tensor): Tensor {
  return softplusOf([asFloat(x, "softplus")], undefined);
}

/**
 * x where x > 0, negativeSlope · x elsewhere. float32; int32 is converted. Default slope 0.01.
 *
 * @example
 * leakyRelu(tensor([-10, 2])); // [-0.1, 2]
 */
export function leakyRelu(x: Tensor, negativeSlope = 0.01): Tensor {
  const value = asFloat(x, "leakyRelu");
  check("leakyRelu", "negativeSlope", negativeSlope, aNumber);
  return inComposite("leakyRelu", () => where(gt(value, 0), value, mul(value, negativeSlope)));
}
