/** One step of recurrent networks, with PyTorch's gates in PyTorch's order. */
import type { Tensor } from "../graph/tensor.js";
import { add, mul, relu, sigmoid, sub, tanh } from "../ops/elementwise.js";
import { linear } from "../ops/linalg.js";
import { split } from "../ops/slice.js";

/** Kinds of recurrent networks. */
export interface RecurrentKind {
  /** Rows of a weight for each hidden unit. */
  readonly gates: number;
  /** Tensors that a step hands to the next: h, of an LSTM also c. */
  readonly states: number;
  /** The next states out of the products of input and of h [N, gates·H], biases included, and the states [N, H], h first. */
  next(input: Tensor, hidden: Tensor, states: readonly Tensor[]): Tensor[];
}

const gatesOf = (x: Tensor, count: number) =>
  split(x, Array<number>(count).fill(x.shape[x.rank - 1] / count), -1);

/** h' = activation(x + h) (Elman 1990). */
export const elman = (activation: "tanh" | "relu"): RecurrentKind => ({
  gates: 1,
  states: 1,
  next: (input, hidden) => [(activation === "tanh" ? tanh : relu)(add(input, hidden))],
});

/** Gates i, f, g, o (Hochreiter and Schmidhuber 1997): c' = f·c + i·g, h' = o·tanh(c'). */
export const longShortTerm: RecurrentKind = {
  gates: 4,
  states: 2,
  next(input, hidden, [, cell]) {
    const [i, f, g, o] = gatesOf(add(input, hidden), 4);
    const next = add(mul(sigmoid(f), cell), mul(sigmoid(i), tanh(g)));
    return [mul(sigmoid(o), tanh(next)), next];
  },
};

/** Gates r, z, n (Cho et al. 2014): n = tanh(x_n + r·h_n), h' = n + z·(h − n). */
export const gatedUnit: RecurrentKind = {
  gates: 3,
  states: 1,
  next(input, hidden, [old]) {
    const [inputR, inputZ, inputN] = gatesOf(input, 3);
    const [hiddenR, hiddenZ, hiddenN] = gatesOf(hidden, 3);
    const reset = sigmoid(add(inputR, hiddenR));
    const update = sigmoid(add(inputZ, hiddenZ));
    const candidate = tanh(add(inputN, mul(reset, hiddenN)));
    return [add(candidate, mul(update, sub(old, candidate)))];
  },
};

/** Weights of one layer in one direction: [gates·H, in], [gates·H, H] and the biases [gates·H]. */
export interface RecurrentWeights {
  readonly weightIh: Tensor;
  readonly weightHh: Tensor;
  readonly biasIh: Tensor | undefined;
  readonly biasHh: Tensor | undefined;
}

/** The next states out of the input's product, which is the same for all steps at once. */
export function recurrentStep(
  kind: RecurrentKind,
  input: Tensor,
  states: readonly Tensor[],
  { weightHh, biasHh }: RecurrentWeights,
): Tensor[] {
  return kind.next(input, linear(states[0], weightHh, biasHh), states);
}
