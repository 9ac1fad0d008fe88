/** Runs a case on a device: its value, and the gradient of Σ value·w for fixed random weights w. */
import { grad } from "../src/autograd/backward.js";
import { flush, leaf, readExact, realize } from "../src/compiler/realize.js";
import type { Device } from "../src/device/device.js";
import type { DType, TypedArray } from "../src/tensor/dtype.js";
import type { Shape } from "../src/tensor/shape.js";
import type { Tensor } from "../src/tensor/tensor.js";
import { applyView, type Case, isDifferentiated, leafShape } from "./cases/case.js";
import { generate, type Values } from "./cases/generate.js";

export interface Evaluated {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly output: TypedArray;
  /** Per input; undefined where none is asked for. */
  readonly gradients: readonly ({ readonly shape: Shape; readonly values: TypedArray } | undefined)[];
}

export const weightValues: Values = { between: [-1, 1] };

/** The leaves of a case on a device. */
export function leavesOf(entry: Case, device: Device): Tensor[] {
  return entry.inputs.map((input, i) => {
    const shape = leafShape(input);
    const data = generate(`${entry.name}/${i}`, shape, input.dtype, input.values);
    const tensor = leaf(device, input.dtype, shape, data);
    tensor.requiresGrad = isDifferentiated(entry, i);
    return tensor;
  });
}

export function viewed(entry: Case, leaves: readonly Tensor[]): Tensor[] {
  return leaves.map((tensor, i) => applyView(tensor, entry.inputs[i]));
}

/** The weights w of the scalar Σ value·w that is differentiated. */
export function outputWeights(entry: Case, { device, shape }: Tensor): Tensor {
  return leaf(device, "float32", shape, generate(`${entry.name}/w`, shape, "float32", weightValues));
}

export async function evaluate(entry: Case, device: Device): Promise<Evaluated> {
  const leaves = leavesOf(entry, device);
  const output = entry.run(viewed(entry, leaves));
  const asked = leaves.filter((tensor) => tensor.requiresGrad);
  const found = asked.length > 0 ? grad(output, asked, { gradient: outputWeights(entry, output) }) : [];
  realize([output, ...found]);
  const values = await readExact(output);
  const gradients = [];
  for (const tensor of leaves) {
    const gradient = tensor.requiresGrad ? found[asked.indexOf(tensor)] : undefined;
    gradients.push(gradient && { shape: gradient.shape, values: await readExact(gradient) });
  }
  // Assignments that the case made are written before the leaves go.
  flush(device);
  for (const tensor of [...leaves, output, ...found]) tensor.storage?.dispose();
  return { shape: output.shape, dtype: output.dtype, output: values, gradients };
}
