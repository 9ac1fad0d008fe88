/** Cells: recurrent networks one step at a time. */
import { aBoolean, checkOptions, type Kinds, oneOf } from "../core/check.js";
import { ShapeError } from "../core/errors.js";
import { formatShape, sameShape } from "../core/shape.js";
import { requireTensor } from "../graph/require.js";
import type { Tensor } from "../graph/tensor.js";
import { zeros } from "../ops/creation.js";
import { linear } from "../ops/linalg.js";
import { uniformInit } from "./init.js";
import { Module } from "./module.js";
import { type ParameterOptions, parameter, parameterOptions, requireCounts } from "./parameter.js";
import { elman, gatedUnit, longShortTerm, type RecurrentKind, recurrentStep } from "./recurrent_step.js";

/** Options of `LSTMCell` and `GRUCell`. */
export interface RecurrentCellOptions extends ParameterOptions {
  /** Whether biases are added. Default true. */
  readonly bias?: boolean;
}

/** Options of `RNNCell`. */
export interface RNNCellOptions extends RecurrentCellOptions {
  /** Default "tanh". */
  readonly nonlinearity?: "tanh" | "relu";
}

const cellOptions = (): Kinds<RecurrentCellOptions> => ({ ...parameterOptions, bias: aBoolean });
const rnnCellOptions = (): Kinds<RNNCellOptions> => ({
  ...cellOptions(),
  nonlinearity: oneOf("tanh", "relu"),
});

/** @throws ShapeError if a state is not [N, H]. */
export function requireState(op: string, name: string, state: Tensor, shape: readonly number[]): Tensor {
  if (!sameShape(requireTensor(op, state, name).shape, shape)) {
    throw new ShapeError(`${name} is ${formatShape(shape)}, got ${formatShape(state.shape)}`, { op });
  }
  return state;
}

/** Weights, initial values and one step, whatever the kind. */
abstract class RecurrentCell<State> extends Module<[Tensor, State?], State> {
  /** [gates·H, in]. */
  weightIh: Tensor;
  /** [gates·H, H]. */
  weightHh: Tensor;
  /** [gates·H], or undefined. */
  biasIh: Tensor | undefined;
  /** [gates·H], or undefined. */
  biasHh: Tensor | undefined;
  readonly #kind: RecurrentKind;
  readonly #op: string;

  constructor(
    op: string,
    kind: RecurrentKind,
    inputSize: number,
    hiddenSize: number,
    { bias = true, device }: RecurrentCellOptions,
  ) {
    super();
    requireCounts(op, { inputSize, hiddenSize });
    this.#op = op;
    this.#kind = kind;
    const rows = kind.gates * hiddenSize;
    const bound = 1 / Math.sqrt(Math.max(1, hiddenSize));
    const uniform = (shape: readonly number[]) => parameter(uniformInit(shape, bound, device));
    this.weightIh = uniform([rows, inputSize]);
    this.weightHh = uniform([rows, hiddenSize]);
    if (bias) {
      this.biasIh = uniform([rows]);
      this.biasHh = uniform([rows]);
    }
  }

  override extraRepr(): object {
    const { weightIh, weightHh, biasIh } = this;
    return { inputSize: weightIh.shape[1], hiddenSize: weightHh.shape[1], bias: biasIh !== undefined };
  }

  protected step(x: Tensor, given: readonly Tensor[] | undefined): Tensor[] {
    const [, width] = this.weightIh.shape;
    if (requireTensor(this.#op, x).rank !== 2 || x.shape[1] !== width) {
      throw new ShapeError(`the input is [N, ${width}], got ${formatShape(x.shape)}`, { op: this.#op });
    }
    const shape = [x.shape[0], this.weightHh.shape[1]];
    const states = Array.from({ length: this.#kind.states }, (_, i) =>
      given === undefined
        ? zeros(shape, { device: x.device })
        : requireState(this.#op, i === 0 ? "h" : "c", given[i], shape),
    );
    return recurrentStep(this.#kind, linear(x, this.weightIh, this.biasIh), states, this);
  }
}

/**
 * One step of an Elman network: x [N, in] and h [N, H] (zeros by default) → the next h, tanh or ReLU of both products, with
 * torch.nn.RNNCell's parameters and initial values.
 *
 * @example
 * new RNNCell(8, 16).forward(zeros([4, 8])).shape; // [4, 16]
 */
export class RNNCell extends RecurrentCell<Tensor> {
  constructor(inputSize: number, hiddenSize: number, options: RNNCellOptions = {}) {
    const { nonlinearity = "tanh", ...rest } = checkOptions("RNNCell", options, rnnCellOptions());
    super("RNNCell", elman(nonlinearity), inputSize, hiddenSize, rest);
  }

  /** @throws ShapeError if the input is not [N, in] or h not [N, H]. */
  forward(x: Tensor, h?: Tensor): Tensor {
    return this.step(x, h && [h])[0];
  }
}

/**
 * One step of a gated recurrent unit: x [N, in] and h [N, H] (zeros by default) → the next h; gates r, z, n, parameters and initial
 * values as torch.nn.GRUCell.
 *
 * @example
 * new GRUCell(8, 16).forward(zeros([4, 8])).shape; // [4, 16]
 */
export class GRUCell extends RecurrentCell<Tensor> {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentCellOptions = {}) {
    super("GRUCell", gatedUnit, inputSize, hiddenSize, checkOptions("GRUCell", options, cellOptions()));
  }

  /** @throws ShapeError if the input is not [N, in] or h not [N, H]. */
  forward(x: Tensor, h?: Tensor): Tensor {
    return this.step(x, h && [h])[0];
  }
}

/**
 * One step of a long short-term memory: x [N, in] and [h, c], both [N, H] (zeros by default) → the next [h, c]; gates i, f, g, o,
 * parameters and initial values as torch.nn.LSTMCell.
 *
 * @example
 * const [h, c] = new LSTMCell(8, 16).forward(zeros([4, 8]));
 * c.shape; // [4, 16]
 */
export class LSTMCell extends RecurrentCell<[Tensor, Tensor]> {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentCellOptions = {}) {
    super("LSTMCell", longShortTerm, inputSize, hiddenSize, checkOptions("LSTMCell", options, cellOptions()));
  }

  /** @throws ShapeError if the input is not [N, in] or a state not [N, H]. */
  forward(x: Tensor, states?: [Tensor, Tensor]): [Tensor, Tensor] {
    const [h, c] = this.step(x, states);
    return [h, c];
  }
}
