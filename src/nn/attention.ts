/** Multi-head attention. */
import { overwrite } from "../compiler/realize.js";
import { scaledDotProductAttention } from "../ops/attention.js";
import { zeros } from "../ops/creation.js";
import { linear } from "../ops/linalg.js";
import { permute, reshape } from "../ops/reshape.js";
import { narrow } from "../ops/slice.js";
import { ArgumentError } from "../tensor/errors.js";
import { Tensor } from "../tensor/tensor.js";
import { xavierUniform } from "./init.js";
import { Linear } from "./linear.js";
import { Module } from "./module.js";
import { deviceOf, type ParameterOptions, parameter } from "./parameter.js";

export interface AttentionModuleOptions extends ParameterOptions {
  /** Default true. */
  readonly bias?: boolean;
  /** Probability of dropping an attention weight while training. Default 0. */
  readonly dropout?: number;
}

export interface AttentionCall {
  /** Position i sees the positions 0..i only. Default false. */
  readonly causal?: boolean;
  /** bool, true where attention is allowed, or float32, added to the scores; broadcasts to [N, heads, L, S]. */
  readonly mask?: Tensor;
}

/** [N, T, heads·d] → [N, heads, T, d]. */
export function splitHeads(x: Tensor, numHeads: number): Tensor {
  const [n, t, width] = x.shape;
  return permute(reshape(x, [n, t, numHeads, width / numHeads]), [0, 2, 1, 3]);
}

/** [N, heads, T, d] → [N, T, heads·d]. */
export function joinHeads(x: Tensor): Tensor {
  const [n, heads, t, d] = x.shape;
  return reshape(permute(x, [0, 2, 1, 3]), [n, t, heads * d]);
}

/**
 * Attention of Vaswani et al. 2017 with torch.nn.MultiheadAttention's parameters (in_proj_weight [3·E, E],
 * in_proj_bias, out_proj.weight, out_proj.bias) and initial values; inputs are [N, T, E]: PyTorch's `batch_first=True` is the only layout.
 *
 * @example
 * const attention = new MultiheadAttention(128, 4);
 * const y = attention.forward(x, { causal: true }); // x [8, 64, 128] → y [8, 64, 128]
 * const z = attention.forward(x, memory, memory); // memory [8, 100, 128] → z [8, 64, 128]
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
    if (embedDim % numHeads !== 0) {
      throw new ArgumentError(`${numHeads} heads do not divide the width ${embedDim}`, {
        op: "MultiheadAttention",
      });
    }
    const device = deviceOf(options);
    const bias = options.bias ?? true;
    this.#numHeads = numHeads;
    this.#dropout = options.dropout ?? 0;
    this.inProjWeight = parameter(xavierUniform([3 * embedDim, embedDim], device));
    if (bias) this.inProjBias = parameter(zeros([3 * embedDim], { device }));
    this.outProj = new Linear(embedDim, embedDim, { device, bias });
    if (this.outProj.bias) overwrite(this.outProj.bias, new Float32Array(embedDim));
  }

  /**
   * query [N, L, E], key and value [N, S, E] → [N, L, E]; without key and value, self-attention.
   * @throws ShapeError if the widths are not E.
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

  #attend(query: Tensor, key: Tensor, value: Tensor, { causal, mask }: AttentionCall = {}): Tensor {
    const width = query.shape[query.rank - 1];
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
}
