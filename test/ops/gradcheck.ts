/**
 * Gradients against finite differences on the reference device, whose arithmetic is float64: central differences
 * with eps 1e-6, accepted within atol 1e-5 and rtol 1e-3.
 */
import { expect } from "vitest";
import { grad } from "../../src/autograd/backward.js";
import type { DType, TypedArray } from "../../src/core/dtype.js";
import { type Shape, sizeOf } from "../../src/core/shape.js";
import type { Device } from "../../src/device/device.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { add, mul, square, sum, tensor, zerosLike } from "../../src/ops/index.js";
import { commit } from "../../src/runtime/commit.js";
import { leaf, readExact } from "../../src/runtime/host_data.js";

const eps = 1e-6;
const atol = 1e-5;
const rtol = 1e-3;

/** Inputs of up to this size are varied element by element, larger ones in `groups` of elements. */
const mostElements = 24;
const groups = 8;

export type Differentiable = (...inputs: Tensor[]) => Tensor;

export interface Leaf {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly data: TypedArray;
  /** Whether the derivative by this input is checked. */
  readonly varied: boolean;
}

/** Values without ties, zeros or symmetry; between 0.3 and 1.7 in size, of both signs unless `positive`. */
export function sampleValues(shape: Shape, seed: number, positive = false): Float64Array {
  return Float64Array.from({ length: sizeOf(shape) }, (_, i) => {
    const phase = Math.sin(12.9898 * (i + 1) + 78.233 * (seed + 1)) * 43758.5453;
    const u = phase - Math.floor(phase);
    const size = 0.3 + 1.4 * u;
    return positive || (i * 7 + seed) % 3 !== 0 ? size : -size;
  });
}

/** Σ y·w for fixed random w. */
export function weighted(y: Tensor, seed = 99): Tensor {
  return sum(mul(y, tensor(sampleValues(y.shape, seed), { device: y.device, shape: y.shape })));
}

/**
 * Σ_k Σ v_k · ∂(Σ w·y²)/∂input_k for fixed random w and v_k, differentiable again: its gradients are second
 * derivatives of y. The square lets linear functions vary.
 */
export function weightedSlope(y: Tensor, inputs: readonly Tensor[]): Tensor {
  const slopes = grad(weighted(square(y), 55), inputs, { createGraph: true });
  return slopes.map((slope, k) => weighted(slope, 7 + k)).reduce((total, term) => add(total, term));
}

/**
 * Directions that together move every element: along each axis if there are few, else each along every
 * `groups`-th axis with mixed signs, so that one wrong element still shows in a sum of few others.
 */
function directions(size: number): Float64Array[] {
  const count = size <= mostElements ? size : groups;
  return Array.from({ length: count }, (_, group) =>
    Float64Array.from({ length: size }, (_, i) => (i % count === group ? (i % 3 === 1 ? -1 : 1) : 0)),
  );
}

/** Checks the gradients of a scalar function of leaves. */
export async function checkGradients(
  device: Device,
  loss: (inputs: Tensor[]) => Tensor,
  leaves: readonly Leaf[],
): Promise<void> {
  const create = ({ dtype, shape, data, varied }: Leaf) => {
    const created = leaf(device, dtype, shape, data);
    created.requiresGrad = varied;
    return created;
  };
  const lossAt = async (moved: readonly Leaf[]) => {
    const inputs = moved.map(create);
    const value = loss(inputs);
    const [result] = await readExact(value);
    // Assignments that the function made are written before the leaves go.
    commit(device);
    for (const used of [...inputs, value]) used.storage?.dispose();
    return result;
  };
  const inputs = leaves.map(create);
  const asked = inputs.filter(({ requiresGrad }) => requiresGrad);
  const value = loss(inputs);
  // Step functions do not depend on what they step over, which finite differences confirm.
  const gradients = value.requiresGrad ? grad(value, asked) : asked.map(zerosLike);
  for (const [k, gradient] of gradients.entries()) {
    const at = inputs.indexOf(asked[k]);
    const { data, shape } = leaves[at];
    expect(gradient.shape).toEqual(shape);
    const analytic = await readExact(gradient);
    commit(device);
    for (const [number, direction] of directions(data.length).entries()) {
      const shifted = (step: number) =>
        leaves.map((given, i) =>
          i === at ? { ...given, data: Float64Array.from(data, (x, j) => x + step * direction[j]) } : given,
        );
      const numeric = ((await lossAt(shifted(eps))) - (await lossAt(shifted(-eps)))) / (2 * eps);
      const expected = direction.reduce((total, d, j) => (d === 0 ? total : total + d * analytic[j]), 0);
      const what = `input ${at}, direction ${number} of ${data.length} elements`;
      expect(
        Math.abs(expected - numeric),
        `${what}: ${expected}, numerically ${numeric}`,
      ).toBeLessThanOrEqual(atol + rtol * Math.abs(numeric));
    }
  }
}

function variedLeaves(values: readonly Float64Array[], shapes: readonly Shape[]): Leaf[] {
  return values.map((data, i) => ({ data, shape: shapes[i], dtype: "float32", varied: true }));
}

/** Checks ∂Σ(w·fn)/∂input for fixed random w and every input. */
export async function gradcheck(device: Device, fn: Differentiable, values: Float64Array[], shapes: Shape[]) {
  await checkGradients(device, (inputs) => weighted(fn(...inputs)), variedLeaves(values, shapes));
}

/** `gradcheck` of the gradients of Σ(w·fn²) that `grad` returns with createGraph. */
export async function gradgradcheck(
  device: Device,
  fn: Differentiable,
  values: Float64Array[],
  shapes: Shape[],
) {
  const slope = (inputs: Tensor[]) => weightedSlope(fn(...inputs), inputs);
  await checkGradients(device, slope, variedLeaves(values, shapes));
}
