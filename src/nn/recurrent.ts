/** Recurrent networks over whole sequences, of several layers and in both directions. */
import { aBoolean, aCount, aNumber, checkOptions, type Kinds, oneOf } from "../core/check.js";
import { ShapeError } from "../core/errors.js";
import { formatShape } from "../core/shape.js";
import { requireTensor } from "../graph/require.js";
import type { Tensor } from "../graph/tensor.js";
import { concat, stack } from "../ops/concat.js";
import { zeros } from "../ops/creation.js";
import { linear } from "../ops/linalg.js";
import { dropout, requireProbability } from "../ops/random.js";
import { reshape, transpose } from "../ops/reshape.js";
import { narrow } from "../ops/slice.js";
import { uniformInit } from "./init.js";
import { Module } from "./module.js";
import { type ParameterOptions, parameter, parameterOptions, requireCounts } from "./parameter.js";
import { requireState } from "./recurrent_cell.js";
import {
  elman,
  gatedUnit,
  longShortTerm,
  type RecurrentKind,
  type RecurrentWeights,
  recurrentStep,
} from "./recurrent_step.js";

/** Options of `LSTM` and `GRU`. */
export interface RecurrentOptions extends ParameterOptions {
  /** Layers, each on the output of the one before. Default 1. */
  readonly numLayers?: number;
  /** Whether biases are added. Default true. */
  readonly bias?: boolean;
  /** Whether inputs and outputs are [N, T, …], not [T, N, …]; states are [layers, N, H] in both. Default false. */
  readonly batchFirst?: boolean;
  /** Of the outputs of all layers but the last, in training. Default 0. */
  readonly dropout?: number;
  /** Whether a second network reads the sequence from its end; the outputs of both are joined. Default false. */
  readonly bidirectional?: boolean;
}

/** Options of `RNN`. */
export interface RNNOptions extends RecurrentOptions {
  /** Default "tanh". */
  readonly nonlinearity?: "tanh" | "relu";
}

const recurrentOptions = (): Kinds<RecurrentOptions> => ({
  ...parameterOptions,
  numLayers: aCount,
  bias: aBoolean,
  batchFirst: aBoolean,
  dropout: aNumber,
  bidirectional: aBoolean,
});
const rnnOptions = (): Kinds<RNNOptions> => ({ ...recurrentOptions(), nonlinearity: oneOf("tanh", "relu") });

/** Weights by PyTorch's names and the pass over a sequence, whatever the kind. */
abstract class Recurrent<State> extends Module<[Tensor, State?], [Tensor, State]> {
  /** `weight_ih_l0` [gates·H, in], `weight_hh_l0` [gates·H, H], `bias_ih_l0`, `bias_hh_l0`; `weight_ih_l0_reverse`, … */
  readonly weights: Record<string, Tensor> = {};
  readonly #op: string;
  readonly #kind: RecurrentKind;
  readonly #sizes: { readonly inputSize: number; readonly hiddenSize: number };
  readonly #options: Required<Omit<RecurrentOptions, "device">>;

  constructor(
    op: string,
    kind: RecurrentKind,
    sizes: { readonly inputSize: number; readonly hiddenSize: number },
    options: RecurrentOptions,
  ) {
    super();
    requireCounts(op, sizes);
    const { numLayers = 1, bias = true, batchFirst = false, bidirectional = false, device } = options;
    requireProbability(options.dropout ?? 0, op);
    this.#op = op;
    this.#kind = kind;
    this.#sizes = sizes;
    this.#options = { numLayers, bias, batchFirst, bidirectional, dropout: options.dropout ?? 0 };
    const { inputSize, hiddenSize } = sizes;
    const rows = kind.gates * hiddenSize;
    const bound = 1 / Math.sqrt(Math.max(1, hiddenSize));
    const uniform = (shape: readonly number[]) => parameter(uniformInit(shape, bound, device));
    const ends = bidirectional ? ["", "_reverse"] : [""];
    for (let layer = 0; layer < numLayers; layer++) {
      const width = layer === 0 ? inputSize : hiddenSize * ends.length;
      for (const end of ends) {
        this.weights[`weight_ih_l${layer}${end}`] = uniform([rows, width]);
        this.weights[`weight_hh_l${layer}${end}`] = uniform([rows, hiddenSize]);
        if (!bias) continue;
        this.weights[`bias_ih_l${layer}${end}`] = uniform([rows]);
        this.weights[`bias_hh_l${layer}${end}`] = uniform([rows]);
      }
    }
  }

  override stateNames(): { weights: "" } {
    return { weights: "" };
  }

  override extraRepr(): object {
    return { ...this.#sizes, ...this.#options };
  }

  /** Output and last states, [layers·directions, N, H] each, h first. */
  protected run(x: Tensor, given: readonly Tensor[] | undefined): [Tensor, Tensor[]] {
    const { numLayers, batchFirst, bidirectional, dropout: p } = this.#options;
    const { inputSize, hiddenSize } = this.#sizes;
    const op = this.#op;
    if (requireTensor(op, x).rank !== 3 || x.shape[2] !== inputSize || x.shape[batchFirst ? 1 : 0] === 0) {
      const wanted = batchFirst ? `[N, T, ${inputSize}]` : `[T, N, ${inputSize}]`;
      throw new ShapeError(`the input is ${wanted} with T > 0, got ${formatShape(x.shape)}`, { op });
    }
    let sequence = batchFirst ? transpose(x, 0, 1) : x;
    const batch = sequence.shape[1];
    const ends = bidirectional ? ["", "_reverse"] : [""];
    const places = numLayers * ends.length;
    for (const [i, state] of (given ?? []).entries()) {
      requireState(op, i === 0 ? "h" : "c", state, [places, batch, hiddenSize]);
    }
    const last: Tensor[][] = [];
    for (let layer = 0; layer < numLayers; layer++) {
      const input = layer > 0 && p > 0 ? dropout(sequence, p, { training: this.training }) : sequence;
      const outputs = ends.map((end) => {
        const states = Array.from({ length: this.#kind.states }, (_, i) =>
          given === undefined
            ? zeros([batch, hiddenSize], { device: x.device })
            : reshape(narrow(given[i], 0, last.length, 1), [batch, hiddenSize]),
        );
        const pass = this.#pass(input, states, this.#weightsOf(`l${layer}${end}`), end !== "");
        last.push(pass.states);
        return pass.output;
      });
      sequence = outputs.length === 1 ? outputs[0] : concat(outputs, 2);
    }
    const output = batchFirst ? transpose(sequence, 0, 1) : sequence;
    return [output, last[0].map((_, i) => stack(last.map((states) => states[i])))];
  }

  #weightsOf(place: string): RecurrentWeights {
    const { weights } = this;
    return {
      weightIh: weights[`weight_ih_${place}`],
      weightHh: weights[`weight_hh_${place}`],
      biasIh: weights[`bias_ih_${place}`],
      biasHh: weights[`bias_hh_${place}`],
    };
  }

  /** One layer in one direction over [T, N, in]: the input's product for all steps is one product. */
  #pass(x: Tensor, initial: readonly Tensor[], weights: RecurrentWeights, isReverse: boolean) {
    const [steps, batch] = x.shape;
    const products = linear(x, weights.weightIh, weights.biasIh);
    const rows = products.shape[2];
    let states = initial;
    const outputs: Tensor[] = [];
    for (let i = 0; i < steps; i++) {
      const t = isReverse ? steps - 1 - i : i;
      const input = reshape(narrow(products, 0, t, 1), [batch, rows]);
      states = recurrentStep(this.#kind, input, states, weights);
      outputs[t] = states[0];
    }
    return { output: stack(outputs), states: [...states] };
  }
}

/**
 * Elman networks: x [T, N, in] (`batchFirst`: [N, T, in]) and h [layers·directions, N, H] (zeros by default) → the output
 * [T, N, directions·H] of the last layer and the last h; parameters and initial values as torch.nn.RNN. float32.
 *
 * @example
 * const [output, h] = new RNN(8, 16).forward(zeros([5, 2, 8]));
 * output.shape; // [5, 2, 16]
 */
export class RNN extends Recurrent<Tensor> {
  constructor(inputSize: number, hiddenSize: number, options: RNNOptions = {}) {
    const { nonlinearity = "tanh", ...rest } = checkOptions("RNN", options, rnnOptions());
    super("RNN", elman(nonlinearity), { inputSize, hiddenSize }, rest);
  }

  /** @throws ShapeError for other shapes of x or h. */
  forward(x: Tensor, h?: Tensor): [Tensor, Tensor] {
    const [output, [last]] = this.run(x, h && [h]);
    return [output, last];
  }
}

/**
 * Gated recurrent units (Cho et al. 2014), as torch.nn.GRU: gates r, z, n. Shapes as of `RNN`. The steps are unrolled: each length
 * is compiled by itself.
 *
 * @example
 * const encoder = new GRU(8, 16, { batchFirst: true, bidirectional: true });
 * const [output, h] = encoder.forward(zeros([2, 5, 8]));
 * output.shape; // [2, 5, 32]
 * h.shape; // [2, 2, 16]
 */
export class GRU extends Recurrent<Tensor> {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions = {}) {
    super("GRU", gatedUnit, { inputSize, hiddenSize }, checkOptions("GRU", options, recurrentOptions()));
  }

  /** @throws ShapeError for other shapes of x or h. */
  forward(x: Tensor, h?: Tensor): [Tensor, Tensor] {
    const [output, [last]] = this.run(x, h && [h]);
    return [output, last];
  }
}

/**
 * Long short-term memory (Hochreiter and Schmidhuber 1997), as torch.nn.LSTM: gates i, f, g, o; the states are [h, c]. Shapes as of
 * `RNN`.
 *
 * @example
 * const [output, [h, c]] = new LSTM(8, 16, { numLayers: 2 }).forward(zeros([5, 2, 8]));
 * c.shape; // [2, 2, 16]
 */
export class LSTM extends Recurrent<[Tensor, Tensor]> {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions = {}) {
    const own = checkOptions("LSTM", options, recurrentOptions());
    super("LSTM", longShortTerm, { inputSize, hiddenSize }, own);
  }

  /** @throws ShapeError for other shapes of x or of the states. */
  forward(x: Tensor, states?: [Tensor, Tensor]): [Tensor, [Tensor, Tensor]] {
    const [output, [h, c]] = this.run(x, states);
    return [output, [h, c]];
  }
}
