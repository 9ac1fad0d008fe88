/** Activation checkpointing of a model's layers, which the field `gradientCheckpointing` turns on. */
import { checkpoint } from "../autograd/checkpoint.js";
import type { Tensor } from "../graph/tensor.js";

/** layer(x), of which backward keeps the input only if `isOn`; see `checkpoint`. */
export function throughLayer(isOn: boolean, layer: (x: Tensor) => Tensor, x: Tensor): Tensor {
  return isOn ? checkpoint(layer, x) : layer(x);
}
