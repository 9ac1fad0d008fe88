/** Multi-head attention. */

import { aBoolean, aNumber, checkOptions, describe, type Kinds } from "../core/check.js";
import { ArgumentError, DTypeError, ShapeError } from "../core/errors.js";
import { formatShape, type Shape, sameShape } from "../core/shape.js";
import { aTensor, requireTensor } from "../graph/require.js";
import { Tensor } from "../graph/tensor.js";
import { scaledDotProductAttention } from "../ops/attention.js";
import { logicalNot, logicalOr, where } from "../ops/comparison.js";
import { zeros } from "../ops/creation.js";
import { add } from "../ops/elementwise.js";
import { linear } from "../ops/linalg.js";
import { requireProbability } from "../ops/random.js";
import { permute, reshape } from "../ops/reshape.js";
import { narrow } from "../ops/slice.js";
import { overwrite } from "../runtime/host_data.js";
import { xavierUniform } from "./init.js";
import { Linear } from "./linear.js";
import { Module } from "./module.js";
import { type ParameterOptions, parameter, parameterOptions, requireCounts } from "./parameter.js";

/** Options of `MultiheadAttention`. */
export interface AttentionModuleOptions extends ParameterOptions {
  /** Whether the projections add a bias. Default true. */
  readonly bias?: boolean;
  /** Probability of dropping an attention weight while training. Default 0. */
  readonly dropout?: number;
}

/** Options of one call of `MultiheadAttention.forward`. */
export interface AttentionCall {
  /** Position i attends to positions 0..i only. Default false. */
  readonly causal?: boolean;
  /**
   * [L, S], or [N·heads, L, S]: bool, true where a position must **not** be attended to, as in torch.nn.MultiheadAttention
   * (`scaledDotProductAttention` has it the other way round), or float32, added to the scores.
   */
  readonly attnMask?: Tensor;
  /** [N, S]: bool, true where a key is padding and is ignored, or float32, added to the scores of that key. */
  readonly keyPaddingMask?: Tensor;
}

const moduleOptions = (): Kinds<AttentionModuleOptions> => ({
  ...parameterOptions,
  bias: aBoolean,
  dropout: aNumber,
});
const callOptions: Kinds<AttentionCall> = { causal: aBoolean, attnMask: aTensor, keyPaddingMask: aTensor };
const op = "MultiheadAttention";

/** @throws ShapeError, DTypeError */
function requireMask(name: string, mask: Tensor, shape: Shape): void {
  if (!sameShape(mask.shape, shape)) {
    throw new ShapeError(`${name} has the shape ${formatShape(mask.shape)}, not ${formatShape(shape)}`, {
      op,
    });
  }
  if (mask.dtype !== "bool" && mask.dtype !== "float32") {
    throw new DTypeError(`${name} is bool (true: masked) or float32 (added), got ${mask.dtype}`, { op });
  }
}

/** @throws ArgumentError, ShapeError for another rank. */
function shapeOf(name: string, x: Tensor, rank: number): Shape {
  const { shape } = requireTensor(name, x);
  if (shape.length === rank) return shape;
  throw new ShapeError(`${rank} dimensions are needed, got ${formatShape(shape)}`, { op: name });
}

/**
 * Splits features into heads: [N, T, heads·d] → [N, heads, T, d].
 *
 * @example
 * splitHeads(zeros([2, 5, 12]), 3).shape; // [2, 3, 5, 4]
 */
export function splitHeads(x: Tensor, numHeads: number): Tensor {
  const [n, t, width] = shapeOf("splitHeads", x, 3);
  if (!(width % numHeads === 0)) {
    throw new ArgumentError(`${describe(numHeads)} heads do not divide the width ${width}`, {
      op: "splitHeads",
    });
  }
  return permute(reshape(x, [n, t, numHeads, width / numHeads]), [0, 2, 1, 3]);
}

/**
 * Joins heads into features, the inverse of `splitHeads`: [N, heads, T, d] → [N, T, heads·d].
 *
 * @example
 * joinHeads(zeros([2, 3, 5, 4])).shape; // [2, 5, 12]
 */
export function joinHeads(x: Tensor): Tensor {
  const [n, heads, t, d] = shapeOf("joinHeads", x, 4);
  return reshape(permute(x, [0, 2, 1, 3]), [n, t, heads * d]);
}

/**
 * Multi-head attention (Vaswani et al. 2017) with torch.nn.MultiheadAttention's parameters (in_proj_weight [3·E, E],
 * in_proj_bias, out_proj.weight, out_proj.bias) and initial values. Inputs are [N, T, E], PyTorch's `batch_first=True`; float32.
 *
 * @example
 * const attention = new MultiheadAttention(128, 4);
 * const x = randn([8, 64, 128]);
 * const memory = randn([8, 100, 128]);
 * attention.forward(x, { causal: true }).shape; // [8, 64, 128]
 * attention.forward(x, memory, memory).shape; // [8, 64, 128]
 *
 * @throws ArgumentError if `numHeads` does not divide `embedDim`.
 */
export class MultiheadAttention extends Module {
  readonly inProjWeight: Tensor;
  readonly inProjBias: Tensor | undefined;
  readonly outProj: Linear;
  readonly #numHeads: number;
  readonly #dropout: number;

  constructor(embedDim: number, numHeads: number, options: AttentionModuleOptions = {}) {
    super();
    requireCounts(op, { embedDim, numHeads });
    if (embedDim % numHeads !== 0) {
      throw new ArgumentError(`${numHeads} heads do not divide the width ${embedDim}`, { op });
    }
    const { bias = true, dropout = 0, device } = checkOptions(op, options, moduleOptions());
    requireProbability(dropout, op);
    this.#numHeads = numHeads;
    this.#dropout = dropout;
    this.inProjWeight = parameter(xavierUniform([3 * embedDim, embedDim], device));
    if (bias) this.inProjBias = parameter(zeros([3 * embedDim], { device }));
    this.outProj = new Linear(embedDim, embedDim, { device, bias });
    if (this.outProj.bias) overwrite(this.outProj.bias, new Float32Array(embedDim));
  }

  override extraRepr(): object {
    return { embedDim: this.outProj.weight.shape[0], numHeads: this.#numHeads, dropout: this.#dropout };
  }

  /**
   * query [N, L, E], key and value [N, S, E] → [N, L, E]; without key and value, self-attention. A query all of whose
   * keys are masked gets 0 for its attention.
   * @throws ShapeError if the widths are not E or a mask has another shape.
   */
  forward(query: Tensor, key?: Tensor, value?: Tensor): Tensor;
  forward(query: Tensor, options: AttentionCall): Tensor;
  forward(query: Tensor, key: Tensor, value: Tensor, options: AttentionCall): Tensor;
  forward(
    query: Tensor,
    keyOrOptions: Tensor | AttentionCall = query,
    value?: Tensor,
    options?: AttentionCall,
  ): Tensor {
    if (keyOrOptions instanceof Tensor) {
      return this.#attend(query, keyOrOptions, value ?? keyOrOptions, options);
    }
    return this.#attend(query, query, query, keyOrOptions);
  }

  #attend(query: Tensor, key: Tensor, value: Tensor, call: AttentionCall = {}): Tensor {
    const { causal, attnMask, keyPaddingMask } = checkOptions(op, call, callOptions);
    const width = this.outProj.weight.shape[0];
    for (const x of [query, key, value]) {
      if (requireTensor(op, x).rank !== 3 || x.shape[2] !== width) {
        throw new ShapeError(`inputs are [N, T, ${width}], got ${formatShape(x.shape)}`, { op });
      }
    }
    const [batch, length] = query.shape;
    const keys = key.shape[1];
    const mask = this.#mask(attnMask, keyPaddingMask, [batch, this.#numHeads, length, keys]);
    const project = (x: Tensor, part: number) => {
      const weight = narrow(this.inProjWeight, 0, part * width, width);
      const bias = this.inProjBias && narrow(this.inProjBias, 0, part * width, width);
      return splitHeads(linear(x, weight, bias), this.#numHeads);
    };
    const attended = scaledDotProductAttention(project(query, 0), project(key, 1), project(value, 2), {
      causal,
      mask,
      dropout: this.training ? this.#dropout : 0,
    });
    return this.outProj.forward(joinHeads(attended));
  }

  /** Both masks as one for scaledDotProductAttention: bool, true where allowed, or float32. */
  #mask(
    attnMask: Tensor | undefined,
    keyPaddingMask: Tensor | undefined,
    scores: readonly [number, number, number, number],
  ): Tensor | undefined {
    const [batch, heads, length, keys] = scores;
    const ofHeads = attnMask?.rank === 3;
    if (attnMask) requireMask("attnMask", attnMask, ofHeads ? [batch * heads, length, keys] : [length, keys]);
    if (keyPaddingMask) requireMask("keyPaddingMask", keyPaddingMask, [batch, keys]);
    const masks = [
      attnMask && ofHeads ? reshape(attnMask, [...scores]) : attnMask,
      keyPaddingMask && reshape(keyPaddingMask, [batch, 1, 1, keys]),
    ].filter((mask) => mask !== undefined);
    if (masks.length === 0) return undefined;
    if (masks.every(({ dtype }) => dtype === "bool")) {
      return logicalNot(masks.length === 1 ? masks[0] : logicalOr(masks[0], masks[1]));
    }
    const added = masks.map((mask) =>
      mask.dtype === "bool" ? where(mask, Number.NEGATIVE_INFINITY, 0) : mask,
    );
    return added.length === 1 ? added[0] : add(added[0], added[1]);
  }
}
