/**
 * Llama (Touvron et al. 2023): rotary positions, RMSNorm before each part, gated MLP, grouped heads. Mistral adds a sliding window (Jiang
 * et al. 2023), Qwen2 biases of the queries, keys and values (Yang et al. 2024), Qwen3 norms of queries and keys (Yang et al. 2025).
 */
import type { Tensor } from "../../graph/tensor.js";
import { joinHeads, splitHeads } from "../../nn/attention.js";
import { Embedding } from "../../nn/embedding.js";
import { advanceCache } from "../../nn/key_value_cache.js";
import { Linear } from "../../nn/linear.js";
import { Module } from "../../nn/module.js";
import type { ParameterOptions } from "../../nn/parameter.js";
import { RMSNorm } from "../../nn/rms_norm.js";
import { add, mul } from "../../ops/elementwise.js";
import { activate } from "../activations.js";
import {
  type CausalCall,
  type CausalModel,
  causalAttention,
  type DecoderSizes,
  type LayerCache,
  lastRows,
  layerCache,
  positionsOf,
  requireTokens,
} from "../decoder.js";
import { throughLayer } from "../gradient_checkpointing.js";
import { Rotary, type Rotation, rotate } from "../rotary.js";
import type { LlamaConfig } from "./config.js";

class Attention extends Module<[x: Tensor, rotation: Rotation, from?: LayerCache]> {
  readonly qProj: Linear;
  readonly kProj: Linear;
  readonly vProj: Linear;
  readonly oProj: Linear;
  readonly qNorm: RMSNorm | undefined;
  readonly kNorm: RMSNorm | undefined;
  readonly #config: LlamaConfig;
  readonly #window: number | undefined;

  constructor(config: LlamaConfig, layer: number, options: ParameterOptions) {
    super();
    const { width, headDim, numHeads, numKeyValueHeads, eps, hasQkvBias, hasOutputBias } = config;
    const project = (heads: number) => new Linear(width, heads * headDim, { ...options, bias: hasQkvBias });
    this.qProj = project(numHeads);
    this.kProj = project(numKeyValueHeads);
    this.vProj = project(numKeyValueHeads);
    this.oProj = new Linear(numHeads * headDim, width, { ...options, bias: hasOutputBias });
    if (config.normalizesHeads) {
      this.qNorm = new RMSNorm(headDim, { ...options, eps });
      this.kNorm = new RMSNorm(headDim, { ...options, eps });
    }
    this.#config = config;
    this.#window = config.windows[layer];
  }

  forward(x: Tensor, rotation: Rotation, from?: LayerCache): Tensor {
    const { numHeads, numKeyValueHeads } = this.#config;
    const q = splitHeads(this.qProj.forward(x), numHeads);
    const k = splitHeads(this.kProj.forward(x), numKeyValueHeads);
    const v = splitHeads(this.vProj.forward(x), numKeyValueHeads);
    const rotated = [
      rotate(this.qNorm?.forward(q) ?? q, rotation),
      rotate(this.kNorm?.forward(k) ?? k, rotation),
    ];
    const attended = causalAttention([rotated[0], rotated[1], v], from, {
      ...(this.#window && { window: this.#window }),
      enableGqa: numHeads !== numKeyValueHeads,
    });
    return this.oProj.forward(joinHeads(attended));
  }
}

/** down(activation(gate(x)) · up(x)) (Shazeer 2020). */
class Mlp extends Module {
  readonly gateProj: Linear;
  readonly upProj: Linear;
  readonly downProj: Linear;
  readonly #config: LlamaConfig;

  constructor(config: LlamaConfig, options: ParameterOptions) {
    super();
    const { width, innerWidth, hasMlpBias: bias } = config;
    this.gateProj = new Linear(width, innerWidth, { ...options, bias });
    this.upProj = new Linear(width, innerWidth, { ...options, bias });
    this.downProj = new Linear(innerWidth, width, { ...options, bias });
    this.#config = config;
  }

  forward(x: Tensor): Tensor {
    const gate = activate(this.#config.activation, this.gateProj.forward(x));
    return this.downProj.forward(mul(gate, this.upProj.forward(x)));
  }
}

/** x + attention(norm(x)), then x + mlp(norm(x)). */
class DecoderLayer extends Module<[x: Tensor, rotation: Rotation, from?: LayerCache]> {
  readonly inputLayernorm: RMSNorm;
  readonly selfAttn: Attention;
  readonly postAttentionLayernorm: RMSNorm;
  readonly mlp: Mlp;

  constructor(config: LlamaConfig, layer: number, options: ParameterOptions) {
    super();
    const norm = () => new RMSNorm(config.width, { ...options, eps: config.eps });
    this.inputLayernorm = norm();
    this.selfAttn = new Attention(config, layer, options);
    this.postAttentionLayernorm = norm();
    this.mlp = new Mlp(config, options);
  }

  forward(x: Tensor, rotation: Rotation, from?: LayerCache): Tensor {
    const attended = add(x, this.selfAttn.forward(this.inputLayernorm.forward(x), rotation, from));
    return add(attended, this.mlp.forward(this.postAttentionLayernorm.forward(attended)));
  }
}

/**
 * int32 tokens [N, T] → hidden states [N, T, width] after the last norm.
 *
 * @example
 * const source = folder("node_modules/wattgrad/test/fixtures/models/llama");
 * const { model } = await fromPretrained<Llama>(source, { device: "wasm", head: "none" });
 * model.forward(tensor([[5, 6]], { dtype: "int32" })).shape; // [1, 2, 16]
 */
export class Llama extends Module<[tokens: Tensor, call?: CausalCall], Tensor> {
  readonly embedTokens: Embedding;
  readonly layers: readonly DecoderLayer[];
  readonly norm: RMSNorm;
  readonly rotary: Rotary;
  /**
   * Keeps the inputs of the layers only for the gradient and computes all else again, which saves most of the memory of training for a
   * third more time. See `checkpoint`. Default false.
   */
  gradientCheckpointing = false;

  constructor(config: LlamaConfig, options: ParameterOptions = {}) {
    super();
    const { vocabulary, width, numLayers, eps } = config;
    this.embedTokens = new Embedding(vocabulary, width, options);
    this.layers = Array.from({ length: numLayers }, (_, layer) => new DecoderLayer(config, layer, options));
    this.norm = new RMSNorm(width, { ...options, eps });
    this.rotary = new Rotary(config.rotary, options);
  }

  forward(tokens: Tensor, call: CausalCall = {}): Tensor {
    const length = requireTokens("Llama", tokens).shape[1];
    const rotation = this.rotary.forward(positionsOf(tokens, call));
    let x = this.embedTokens.forward(tokens);
    this.layers.forEach((layer, i) => {
      const from = layerCache(call, i, length);
      x = throughLayer(this.gradientCheckpointing, (input) => layer.forward(input, rotation, from), x);
    });
    if (call.cache) advanceCache(call.cache, call.counts ?? length);
    return this.norm.forward(x);
  }
}

/**
 * Llama with the head that predicts the next token.
 *
 * @example
 * const source = folder("node_modules/wattgrad/test/fixtures/models/llama");
 * const { model } = await fromPretrained<LlamaCausalLm>(source, { device: "wasm" });
 * model.forward(tensor([[5, 6]], { dtype: "int32" })).shape; // [1, 2, 61]
 */
export class LlamaCausalLm
  extends Module<[tokens: Tensor, call?: CausalCall], Tensor>
  implements CausalModel
{
  readonly model: Llama;
  readonly lmHead: Linear;
  readonly sizes: DecoderSizes;

  constructor(config: LlamaConfig, options: ParameterOptions = {}) {
    super();
    const { vocabulary, maxPositions, width, numLayers: layers, numKeyValueHeads: heads, headDim } = config;
    this.model = new Llama(config, options);
    this.lmHead = new Linear(width, vocabulary, { ...options, bias: false });
    if (config.tiesHead) this.lmHead.weight = this.model.embedTokens.weight;
    this.sizes = { layers, heads, headDim, vocabulary, maxPositions };
  }

  /** As that of the model inside. */
  get gradientCheckpointing(): boolean {
    return this.model.gradientCheckpointing;
  }

  set gradientCheckpointing(isOn: boolean) {
    this.model.gradientCheckpointing = isOn;
  }

  forward(tokens: Tensor, call: CausalCall = {}): Tensor {
    const hidden = this.model.forward(tokens, call);
    return this.lmHead.forward(call.last ? lastRows(hidden, call.counts) : hidden);
  }
}
