/**
 * Gradients against finite differences on the reference device, whose arithmetic is float64: central differences
 * with eps 1e-6, accepted within atol 1e-5 and rtol 1e-3.
 */
import { expect } from "vitest";
import { grad } from "../../src/autograd/backward.js";
import { readExact } from "../../src/compiler/realize.js";
import type { Device } from "../../src/device/device.js";
import { mul, square, sum, tensor } from "../../src/ops/index.js";
import { type Shape, sizeOf } from "../../src/tensor/shape.js";
import type { Tensor } from "../../src/tensor/tensor.js";

const eps = 1e-6;
const atol = 1e-5;
const rtol = 1e-3;

export type Differentiable = (...inputs: Tensor[]) => Tensor;

/** Values without ties, zeros or symmetry; between 0.3 and 1.7 in size, of both signs unless `positive`. */
export function sampleValues(shape: Shape, seed: number, positive = false): Float64Array {
  return Float64Array.from({ length: sizeOf(shape) }, (_, i) => {
    const phase = Math.sin(12.9898 * (i + 1) + 78.233 * (seed + 1)) * 43758.5453;
    const u = phase - Math.floor(phase);
    const size = 0.3 + 1.4 * u;
    return positive || (i * 7 + seed) % 3 !== 0 ? size : -size;
  });
}

/** Checks ∂Σ(w·fn)/∂input for fixed random w and every element of every input. */
export async function gradcheck(device: Device, fn: Differentiable, values: Float64Array[], shapes: Shape[]) {
  const leaf = (data: Float64Array, i: number) =>
    tensor(data, { device, shape: shapes[i], requiresGrad: true });
  const loss = (inputs: Tensor[]) => {
    const y = fn(...inputs);
    return sum(mul(y, tensor(sampleValues(y.shape, 99), { device, shape: y.shape })));
  };
  const inputs = values.map(leaf);
  const gradients = grad(loss(inputs), inputs);
  for (let k = 0; k < values.length; k++) {
    expect(gradients[k].shape).toEqual(shapes[k]);
    const analytic = await readExact(gradients[k]);
    for (let j = 0; j < values[k].length; j++) {
      const at = async (shift: number) => {
        const moved = values.map((data, i) =>
          i === k ? data.with(j, data[j] + shift) : data,
        ) as Float64Array[];
        return (await readExact(loss(moved.map(leaf))))[0];
      };
      const numeric = ((await at(eps)) - (await at(-eps))) / (2 * eps);
      const error = Math.abs(analytic[j] - numeric);
      expect(error, `input ${k}[${j}]: ${analytic[j]}, numerically ${numeric}`).toBeLessThanOrEqual(
        atol + rtol * Math.abs(numeric),
      );
    }
  }
}

/** `gradcheck` of the gradients of Σ(w·fn²) that `grad` returns with createGraph. The square lets linear ops vary. */
export async function gradgradcheck(
  device: Device,
  fn: Differentiable,
  values: Float64Array[],
  shapes: Shape[],
) {
  for (let k = 0; k < values.length; k++) {
    const slope: Differentiable = (...inputs) => {
      const y = fn(...inputs);
      const weight = tensor(sampleValues(y.shape, 55), { device, shape: y.shape });
      return grad(sum(mul(square(y), weight)), inputs, { createGraph: true })[k];
    };
    await gradcheck(device, slope, values, shapes);
  }
}
