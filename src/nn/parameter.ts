/** Creation of parameters: their device, and their registration as parameters. */

import { aCount, aDevice, checkAll, type Kinds } from "../core/check.js";
import { DTypeError } from "../core/errors.js";
import type { Device } from "../device/device.js";
import { requireTensor } from "../graph/require.js";
import type { Tensor } from "../graph/tensor.js";
import { refuseInJit } from "../runtime/capture.js";
import { isUsedUp } from "../runtime/commit.js";
import { realize } from "../runtime/realize.js";

/** Options of every layer with parameters. */
export interface ParameterOptions {
  /** Device of the parameters. Default: that of `setDefaultDevice`. */
  readonly device?: Device;
}

export const parameterOptions: Kinds<ParameterOptions> = { device: aDevice };

/** @throws ArgumentError for a number of features, channels or rows that is none. */
export function requireCounts(op: string, counts: Readonly<Record<string, number>>): void {
  checkAll(op, counts, aCount);
}

/** All parameters. Not determined by requiresGrad, because that is false for frozen parameters. */
const parameters = new WeakSet<Tensor>();

/**
 * Creates a parameter with an initial value, float32 of any shape: a tensor with its own memory and `requiresGrad`.
 *
 * @example
 * class Scale extends Module {
 *   readonly weight = parameter(ones([8]));
 *   forward(x: Tensor) {
 *     return mul(x, this.weight);
 *   }
 * }
 * new Scale().parameterCount(); // 8
 *
 * @throws DTypeError for other dtypes.
 */
export function parameter(initial: Tensor): Tensor {
  if (requireTensor("parameter", initial).dtype !== "float32") {
    throw new DTypeError(`parameters are float32, not ${initial.dtype}`, {
      op: "parameter",
      hint: "registerBuffer() keeps other state",
    });
  }
  refuseInJit("a parameter is made", "make modules outside");
  realize([initial]);
  initial.node = undefined;
  initial.requiresGrad = true;
  parameters.add(initial);
  return initial;
}

/** Whether a module's field holds a parameter: made by `parameter`, or a leaf with requiresGrad (a used loss is none). */
export function isParameter(tensor: Tensor): boolean {
  return parameters.has(tensor) || (tensor.requiresGrad && tensor.isLeaf && !isUsedUp(tensor));
}

export function wasMadeParameter(tensor: Tensor): boolean {
  return parameters.has(tensor);
}

/** A frozen parameter stays one. */
export function setTrainable(tensor: Tensor, trainable: boolean): void {
  parameters.add(tensor);
  tensor.requiresGrad = trainable;
}
