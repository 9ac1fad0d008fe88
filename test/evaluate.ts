/** Runs a case on a device: its value, and the gradient of Σ value·w for fixed random weights w. */
import { grad } from "../src/autograd/backward.js";
import type { DType, TypedArray } from "../src/core/dtype.js";
import type { Shape } from "../src/core/shape.js";
import type { Device } from "../src/device/device.js";
import type { Tensor } from "../src/graph/tensor.js";
import { commit } from "../src/runtime/commit.js";
import { leaf, readExact } from "../src/runtime/host_data.js";
import { realize } from "../src/runtime/realize.js";
import { applyView, type Case, isDifferentiated, leafShape } from "./cases/case.js";
import { generate, type Values } from "./cases/generate.js";

export interface Evaluated {
  /** What the leaves of float32 held. */
  readonly inputs: readonly TypedArray[];
  readonly shape: Shape;
  readonly dtype: DType;
  readonly output: TypedArray;
  /** Per input; undefined where none is asked for. */
  readonly gradients: readonly ({ readonly shape: Shape; readonly values: TypedArray } | undefined)[];
}

export const weightValues: Values = { between: [-1, 1] };

/** Values of float32 tensors, as they are given to a device. */
type Given = (values: TypedArray) => TypedArray;

const asGenerated: Given = (values) => values;

/** The leaves of a case on a device. */
export function leavesOf(entry: Case, device: Device, given: Given = asGenerated): Tensor[] {
  return entry.inputs.map((input, i) => {
    const shape = leafShape(input);
    const data = generate(`${entry.name}/${i}`, shape, input.dtype, input.values);
    const tensor = leaf(device, input.dtype, shape, input.dtype === "float32" ? given(data) : data);
    tensor.requiresGrad = isDifferentiated(entry, i);
    return tensor;
  });
}

export function viewed(entry: Case, leaves: readonly Tensor[]): Tensor[] {
  return leaves.map((tensor, i) => applyView(tensor, entry.inputs[i]));
}

/** The weights w of the scalar Σ value·w that is differentiated. */
export function outputWeights(entry: Case, { device, shape }: Tensor, given: Given = asGenerated): Tensor {
  return leaf(device, "float32", shape, given(generate(`${entry.name}/w`, shape, "float32", weightValues)));
}

export interface EvaluateOptions {
  /** What is computed on of the generated values of float32; by default those themselves. */
  readonly given?: Given;
  /** false: the value only. */
  readonly gradients?: boolean;
}

export async function evaluate(
  entry: Case,
  device: Device,
  { given = asGenerated, gradients: wanted = true }: EvaluateOptions = {},
): Promise<Evaluated> {
  const leaves = leavesOf(entry, device, given);
  const inputs = await Promise.all(leaves.filter(({ dtype }) => dtype === "float32").map(readExact));
  const output = entry.run(viewed(entry, leaves));
  const asked = leaves.filter((tensor) => wanted && tensor.requiresGrad);
  const found =
    asked.length > 0 ? grad(output, asked, { gradient: outputWeights(entry, output, given) }) : [];
  realize([output, ...found]);
  const values = await readExact(output);
  const gradients = [];
  for (const tensor of leaves) {
    const gradient = asked.includes(tensor) ? found[asked.indexOf(tensor)] : undefined;
    gradients.push(gradient && { shape: gradient.shape, values: await readExact(gradient) });
  }
  // Assignments that the case made are written before the leaves go.
  commit(device);
  for (const tensor of [...leaves, output, ...found]) tensor.storage?.dispose();
  return { inputs, shape: output.shape, dtype: output.dtype, output: values, gradients };
}
