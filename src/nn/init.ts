/** Initial values of parameters, PyTorch's. All draw from the seeded default generator. */

import { aNumber, check, checkOptions, type Kinds, oneOf } from "../core/check.js";
import { checkShape, type Shape, sizeOf } from "../core/shape.js";
import type { Device } from "../device/device.js";
import { requireTensor } from "../graph/require.js";
import type { Tensor } from "../graph/tensor.js";
import { mul, sub } from "../ops/elementwise.js";
import { rand, randn } from "../ops/random.js";
import { assign } from "../runtime/assign.js";
import { commit } from "../runtime/commit.js";

/**
 * Uniform random numbers in [−bound, bound), float32.
 *
 * @example
 * uniformInit([100], 0.5).abs().max().le(0.5); // true
 */
export function uniformInit(shape: Shape, bound: number, device?: Device): Tensor {
  check("uniformInit", "the bound", bound, aNumber);
  return sub(mul(rand(shape, { device }), 2 * bound), bound);
}

/**
 * Number of inputs summed into one output of a weight [out, in, ...kernel]: in · kernel elements.
 *
 * @example
 * fanIn([32, 16, 3, 3]); // 144
 */
export function fanIn(shape: Shape): number {
  checkShape(shape, "fanIn");
  return sizeOf(shape.slice(1));
}

/**
 * Number of outputs that one input of a weight [out, in, ...kernel] contributes to: out · kernel elements.
 *
 * @example
 * fanOut([32, 16, 3, 3]); // 288
 */
export function fanOut(shape: Shape): number {
  checkShape(shape, "fanOut");
  return (shape[0] ?? 1) * sizeOf(shape.slice(2));
}

/**
 * Kaiming initialization (He et al. 2015) with the slope √5 that torch.nn.Linear and Conv2d use: uniform within 1/√fanIn.
 *
 * @example
 * kaimingUniform([10, 100]).abs().max().le(0.1); // true
 *
 * @param shape [out, in, ...kernel]
 */
export function kaimingUniform(shape: Shape, device?: Device): Tensor {
  checkShape(shape, "kaimingUniform");
  return uniformInit(shape, 1 / Math.sqrt(Math.max(1, fanIn(shape))), device);
}

/**
 * Xavier initialization (Glorot and Bengio 2010): uniform within √(6 / (in + out)).
 *
 * @example
 * xavierUniform([50, 100]).abs().max().le(0.2); // true
 *
 * @param shape [out, in]
 */
export function xavierUniform(shape: Shape, device?: Device): Tensor {
  checkShape(shape, "xavierUniform");
  return uniformInit(shape, Math.sqrt(6 / (shape[0] + shape[1])), device);
}

/** Options of `kaimingNormal`. */
export interface KaimingOptions {
  /** Keeps the variance of activations in the forward pass ("fanIn", default) or of gradients in the backward pass ("fanOut"). */
  readonly mode?: "fanIn" | "fanOut";
}

const kaimingOptions = (): Kinds<KaimingOptions> => ({ mode: oneOf("fanIn", "fanOut") });

/**
 * Kaiming initialization (He et al. 2015) for layers followed by ReLU: normal with the standard deviation √(2 / fan).
 *
 * @example
 * kaimingNormal([100, 200]).std().lt(0.11); // true
 *
 * @param shape [out, in, ...kernel]
 */
export function kaimingNormal(shape: Shape, device?: Device, options: KaimingOptions = {}): Tensor {
  checkShape(shape, "kaimingNormal");
  const { mode = "fanIn" } = checkOptions("kaimingNormal", options, kaimingOptions());
  const fan = mode === "fanIn" ? fanIn(shape) : fanOut(shape);
  return mul(randn(shape, { device }), Math.sqrt(2 / Math.max(1, fan)));
}

/**
 * Overwrites a layer's parameter with another initial value, in place and at once.
 *
 * @example
 * const { weight } = new Conv2d(3, 16, 3);
 * initialize(weight, zeros(weight.shape));
 * weight.abs().max(); // 0
 *
 * @throws ShapeError or DTypeError if the value is not of the parameter's shape and dtype.
 */
export function initialize(parameter: Tensor, value: Tensor): void {
  requireTensor("initialize", parameter);
  assign(parameter, requireTensor("initialize", value, "the value"));
  commit(parameter.device);
}
