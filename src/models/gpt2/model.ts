/** GPT-2 (Radford et al. 2019): learned positions, pre-norm blocks, a head that shares the table of tokens. */
import type { Tensor } from "../../graph/tensor.js";
import { joinHeads, splitHeads } from "../../nn/attention.js";
import { Embedding } from "../../nn/embedding.js";
import { advanceCache } from "../../nn/key_value_cache.js";
import { Linear } from "../../nn/linear.js";
import { Module } from "../../nn/module.js";
import { LayerNorm } from "../../nn/normalization.js";
import type { ParameterOptions } from "../../nn/parameter.js";
import { add } from "../../ops/elementwise.js";
import { split } from "../../ops/slice.js";
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
import type { Gpt2Config } from "./config.js";

class Attention extends Module<[x: Tensor, from?: LayerCache]> {
  /** Queries, keys and values in one product. */
  readonly cAttn: Linear;
  readonly cProj: Linear;
  readonly #numHeads: number;
  readonly #scale: number;

  constructor(config: Gpt2Config, layer: number, options: ParameterOptions) {
    super();
    const { width, numHeads, scalesAttention, scalesByLayer } = config;
    this.cAttn = new Linear(width, 3 * width, options);
    this.cProj = new Linear(width, width, options);
    this.#numHeads = numHeads;
    this.#scale = (scalesAttention ? Math.sqrt(numHeads / width) : 1) / (scalesByLayer ? layer + 1 : 1);
  }

  forward(x: Tensor, from?: LayerCache): Tensor {
    const [q, k, v] = split(this.cAttn.forward(x), x.shape[2], 2).map((part) =>
      splitHeads(part, this.#numHeads),
    );
    return this.cProj.forward(joinHeads(causalAttention([q, k, v], from, { scale: this.#scale })));
  }
}

class Mlp extends Module {
  readonly cFc: Linear;
  readonly cProj: Linear;
  readonly #config: Gpt2Config;

  constructor(config: Gpt2Config, options: ParameterOptions) {
    super();
    this.cFc = new Linear(config.width, config.innerWidth, options);
    this.cProj = new Linear(config.innerWidth, config.width, options);
    this.#config = config;
  }

  forward(x: Tensor): Tensor {
    return this.cProj.forward(activate(this.#config.activation, this.cFc.forward(x)));
  }
}

/** x + attention(norm(x)), then x + mlp(norm(x)). */
class Block extends Module<[x: Tensor, from?: LayerCache]> {
  readonly ln1: LayerNorm;
  readonly attn: Attention;
  readonly ln2: LayerNorm;
  readonly mlp: Mlp;

  constructor(config: Gpt2Config, layer: number, options: ParameterOptions) {
    super();
    const norm = () => new LayerNorm(config.width, { ...options, eps: config.eps });
    this.ln1 = norm();
    this.attn = new Attention(config, layer, options);
    this.ln2 = norm();
    this.mlp = new Mlp(config, options);
  }

  override stateNames() {
    return { ln1: "ln_1", ln2: "ln_2" };
  }

  forward(x: Tensor, from?: LayerCache): Tensor {
    const attended = add(x, this.attn.forward(this.ln1.forward(x), from));
    return add(attended, this.mlp.forward(this.ln2.forward(attended)));
  }
}

/**
 * int32 tokens [N, T] → hidden states [N, T, width] after the last norm.
 *
 * @example
 * const source = folder("node_modules/wattgrad/test/fixtures/models/gpt2");
 * const { model } = await fromPretrained<Gpt2>(source, { device: "wasm", head: "none" });
 * model.forward(tensor([[5, 6]], { dtype: "int32" })).shape; // [1, 2, 16]
 */
export class Gpt2 extends Module<[tokens: Tensor, call?: CausalCall], Tensor> {
  readonly wte: Embedding;
  readonly wpe: Embedding;
  readonly h: readonly Block[];
  readonly lnF: LayerNorm;
  /**
   * Keeps the inputs of the layers only for the gradient and computes all else again, which saves most of the memory of training for a
   * third more time. See `checkpoint`. Default false.
   */
  gradientCheckpointing = false;

  constructor(config: Gpt2Config, options: ParameterOptions = {}) {
    super();
    const { vocabulary, maxPositions, width, numLayers, eps } = config;
    this.wte = new Embedding(vocabulary, width, options);
    this.wpe = new Embedding(maxPositions, width, options);
    this.h = Array.from({ length: numLayers }, (_, layer) => new Block(config, layer, options));
    this.lnF = new LayerNorm(width, { ...options, eps });
  }

  forward(tokens: Tensor, call: CausalCall = {}): Tensor {
    const length = requireTokens("Gpt2", tokens).shape[1];
    let x = add(this.wte.forward(tokens), this.wpe.forward(positionsOf(tokens, call)));
    this.h.forEach((block, i) => {
      const from = layerCache(call, i, length);
      x = throughLayer(this.gradientCheckpointing, (input) => block.forward(input, from), x);
    });
    if (call.cache) advanceCache(call.cache, call.counts ?? length);
    return this.lnF.forward(x);
  }
}

/**
 * GPT-2 with the head that predicts the next token.
 *
 * @example
 * const source = folder("node_modules/wattgrad/test/fixtures/models/gpt2");
 * const { model } = await fromPretrained<Gpt2CausalLm>(source, { device: "wasm", head: "causalLm" });
 * model.forward(tensor([[5, 6]], { dtype: "int32" })).shape; // [1, 2, 61]
 */
export class Gpt2CausalLm extends Module<[tokens: Tensor, call?: CausalCall], Tensor> implements CausalModel {
  readonly transformer: Gpt2;
  readonly lmHead: Linear;
  readonly sizes: DecoderSizes;

  constructor(config: Gpt2Config, options: ParameterOptions = {}) {
    super();
    const { vocabulary, maxPositions, width, numLayers: layers, numHeads: heads } = config;
    this.transformer = new Gpt2(config, options);
    this.lmHead = new Linear(width, vocabulary, { ...options, bias: false });
    if (config.tiesHead) this.lmHead.weight = this.transformer.wte.weight;
    this.sizes = { layers, heads, headDim: width / heads, vocabulary, maxPositions };
  }

  /** As that of the model inside. */
  get gradientCheckpointing(): boolean {
    return this.transformer.gradientCheckpointing;
  }

  set gradientCheckpointing(isOn: boolean) {
    this.transformer.gradientCheckpointing = isOn;
  }

  forward(tokens: Tensor, call: CausalCall = {}): Tensor {
    const hidden = this.transformer.forward(tokens, call);
    return this.lmHead.forward(call.last ? lastRows(hidden, call.counts) : hidden);
  }
}
