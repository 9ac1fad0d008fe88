/** Initial values of parameters, PyTorch's defaults. All draw from the seeded default generator. */

import type { Device } from "../device/device.js";
import { mul, sub } from "../ops/elementwise.js";
import { rand } from "../ops/random.js";
import type { Shape } from "../tensor/shape.js";
import { sizeOf } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";

/** Uniform in [-bound, bound). */
export function uniformInit(shape: Shape, bound: number, device: Device): Tensor {
  return sub(mul(rand(shape, { device }), 2 * bound), bound);
}

/** Inputs that one output of a weight [out, in, ...kernel] sums over. */
export function fanIn(shape: Shape): number {
  return sizeOf(shape.slice(1));
}

/**
 * He et al. 2015 with the slope √5 that torch.nn.Linear and Conv2d use: uniform within 1/√fanIn.
 * @param shape [out, in, ...kernel]
 */
export function kaimingUniform(shape: Shape, device: Device): Tensor {
  return uniformInit(shape, 1 / Math.sqrt(Math.max(1, fanIn(shape))), device);
}

/** Glorot and Bengio 2010: uniform within √(6 / (in + out)). @param shape [out, in] */
export function xavierUniform(shape: Shape, device: Device): Tensor {
  return uniformInit(shape, Math.sqrt(6 / (shape[0] + shape[1])), device);
}
