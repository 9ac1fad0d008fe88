/** Activation functions by the names that config.json has for them. */
import type { Tensor } from "../graph/tensor.js";
import { gelu, silu } from "../ops/activation.js";
import { mul, relu, sigmoid, tanh } from "../ops/elementwise.js";

const tanhGelu = (x: Tensor) => gelu(x, { approximate: "tanh" });

const activations = {
  gelu: (x: Tensor) => gelu(x),
  gelu_new: tanhGelu,
  gelu_fast: tanhGelu,
  gelu_pytorch_tanh: tanhGelu,
  quick_gelu: (x: Tensor) => mul(x, sigmoid(mul(x, 1.702))),
  relu: (x: Tensor) => relu(x),
  silu: (x: Tensor) => silu(x),
  swish: (x: Tensor) => silu(x),
  tanh: (x: Tensor) => tanh(x),
} as const;

export type ActivationName = keyof typeof activations;

/** What `hidden_act` and `activation_function` may be. */
export const activationNames = Object.keys(activations) as ActivationName[];

export function activate(name: ActivationName, x: Tensor): Tensor {
  return activations[name](x);
}
