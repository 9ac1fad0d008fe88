/**
 * The transformers that plans are made for, as modules of this library: GPT-2 (Radford et al. 2019), BERT (Devlin et al.
 * 2019), BLOOM (Scao et al. 2022) and Llama (Touvron et al. 2023). They are built on the dry device, to be counted.
 */

import type { Device } from "../../device/device.js";
import {
  add,
  arange,
  concat,
  cos,
  expand,
  gelu,
  linear,
  mul,
  narrow,
  neg,
  ones,
  permute,
  reshape,
  rsqrt,
  scaledDotProductAttention,
  silu,
  sin,
  type Tensor,
  tanh,
  unsqueeze,
} from "../../index.js";
import { Embedding, LayerNorm, Linear, Module, ModuleList, parameter } from "../../nn/index.js";
import type { TransformerShape } from "./config.js";

/** Llama's: x / √mean(x²) · weight, without a mean to take off or a bias. */
class RootMeanSquareNorm extends Module {
  readonly weight: Tensor;

  constructor(width: number, device: Device) {
    super();
    this.weight = parameter(ones([width], { device }));
  }

  forward(x: Tensor): Tensor {
    const scale = rsqrt(add(mul(x, x).mean(-1, { keepdim: true }), 1e-6));
    return mul(mul(x, scale), this.weight);
  }
}

function normOf({ architecture, width }: TransformerShape, device: Device): Module {
  return architecture === "llama" ? new RootMeanSquareNorm(width, device) : new LayerNorm(width, { device });
}

class Attention extends Module {
  readonly query: Linear;
  readonly key: Linear;
  readonly value: Linear;
  readonly output: Linear;
  readonly #shape: TransformerShape;

  constructor(shape: TransformerShape, device: Device) {
    super();
    const { width, heads, keyHeads, headWidth, attentionBias: bias, architecture } = shape;
    this.query = new Linear(width, heads * headWidth, { device, bias });
    this.key = new Linear(width, keyHeads * headWidth, { device, bias });
    this.value = new Linear(width, keyHeads * headWidth, { device, bias });
    this.output = new Linear(heads * headWidth, width, { device, bias: architecture !== "llama" });
    this.#shape = shape;
  }

  forward(x: Tensor): Tensor {
    const { architecture, heads, keyHeads, headWidth } = this.#shape;
    const [n, t] = x.shape;
    const split = (y: Tensor, count: number) => permute(reshape(y, [n, t, count, headWidth]), [0, 2, 1, 3]);
    let q = split(this.query.forward(x), heads);
    let k = split(this.key.forward(x), keyHeads);
    let v = split(this.value.forward(x), keyHeads);
    if (architecture === "llama") {
      [q, k] = [rotated(q), rotated(k)];
      [k, v] = [repeated(k, heads), repeated(v, heads)];
    }
    const mask = architecture === "bloom" ? linearBias(heads, t, x.device) : undefined;
    const causal = architecture !== "bert";
    const attended = scaledDotProductAttention(q, k, v, { causal, mask });
    return this.output.forward(reshape(permute(attended, [0, 2, 1, 3]), [n, t, heads * headWidth]));
  }
}

/** Rotary positions (Su et al. 2021): halves of each head turned by an angle that grows with the position. */
function rotated(x: Tensor): Tensor {
  const [, , t, width] = x.shape;
  const half = width / 2;
  const angle = mul(
    unsqueeze(arange(t, { device: x.device }).cast("float32"), 1),
    ones([1, width], { device: x.device }),
  );
  const turned = concat([neg(narrow(x, 3, half, half)), narrow(x, 3, 0, half)], 3);
  return add(mul(x, cos(angle)), mul(turned, sin(angle)));
}

/** Each head of keys or values for all queries that share it (Ainslie et al. 2023). */
function repeated(x: Tensor, heads: number): Tensor {
  const [n, keyHeads, t, width] = x.shape;
  if (keyHeads === heads) return x;
  const copies = expand(unsqueeze(x, 2), [n, keyHeads, heads / keyHeads, t, width]);
  return reshape(copies, [n, heads, t, width]);
}

/** ALiBi (Press et al. 2022): scores fall with the distance, in each head at its own rate. */
function linearBias(heads: number, t: number, device: Device): Tensor {
  const rates = reshape(arange(heads, { device }).cast("float32"), [heads, 1, 1]);
  return mul(rates, arange(t, { device }).cast("float32"));
}

class FeedForward extends Module {
  readonly up: Linear;
  readonly gate: Linear | undefined;
  readonly down: Linear;

  constructor({ architecture, width, feedForward }: TransformerShape, device: Device) {
    super();
    const gated = architecture === "llama";
    this.up = new Linear(width, feedForward, { device, bias: !gated });
    if (gated) this.gate = new Linear(width, feedForward, { device, bias: false });
    this.down = new Linear(feedForward, width, { device, bias: !gated });
  }

  forward(x: Tensor): Tensor {
    const hidden = this.up.forward(x);
    const active = this.gate ? mul(silu(this.gate.forward(x)), hidden) : gelu(hidden);
    return this.down.forward(active);
  }
}

class Block extends Module {
  readonly norm1: Module;
  readonly attention: Attention;
  readonly norm2: Module;
  readonly feedForward: FeedForward;
  readonly #normsAfter: boolean;

  constructor(shape: TransformerShape, device: Device) {
    super();
    this.norm1 = normOf(shape, device);
    this.attention = new Attention(shape, device);
    this.norm2 = normOf(shape, device);
    this.feedForward = new FeedForward(shape, device);
    this.#normsAfter = shape.architecture === "bert";
  }

  forward(x: Tensor): Tensor {
    if (this.#normsAfter) {
      const attended = this.norm1.forward(add(x, this.attention.forward(x)));
      return this.norm2.forward(add(attended, this.feedForward.forward(attended)));
    }
    const attended = add(x, this.attention.forward(this.norm1.forward(x)));
    return add(attended, this.feedForward.forward(this.norm2.forward(attended)));
  }
}

/** int32 tokens [N, T] → logits [N, T, vocabulary]; BERT: the pooled first position, [N, width]. */
export class Transformer extends Module {
  readonly tokens: Embedding;
  readonly positions: Embedding | undefined;
  readonly segments: Embedding | undefined;
  readonly firstNorm: Module | undefined;
  readonly blocks: ModuleList;
  readonly lastNorm: Module | undefined;
  readonly head: Linear | undefined;
  readonly pooler: Linear | undefined;
  readonly #shape: TransformerShape;

  constructor(shape: TransformerShape, device: Device) {
    super();
    const { architecture, layers, width, vocabulary, context, segments, tied } = shape;
    this.#shape = shape;
    this.tokens = new Embedding(vocabulary, width, { device });
    if (architecture === "gpt2" || architecture === "bert")
      this.positions = new Embedding(context, width, { device });
    if (segments > 0) this.segments = new Embedding(segments, width, { device });
    if (architecture === "bert" || architecture === "bloom") this.firstNorm = normOf(shape, device);
    this.blocks = new ModuleList(Array.from({ length: layers }, () => new Block(shape, device)));
    if (architecture !== "bert") this.lastNorm = normOf(shape, device);
    if (architecture === "bert") this.pooler = new Linear(width, width, { device });
    else if (!tied) this.head = new Linear(width, vocabulary, { device, bias: false });
  }

  forward(tokens: Tensor): Tensor {
    const { device, shape } = tokens;
    let x = this.tokens.forward(tokens);
    if (this.positions) x = add(x, this.positions.forward(arange(shape[1], { device })));
    // All tokens are of the first type.
    if (this.segments) x = add(x, narrow(this.segments.weight, 0, 0, 1));
    if (this.firstNorm) x = this.firstNorm.forward(x);
    x = this.blocks.modules.reduce((value, block) => block.forward(value), x);
    if (this.lastNorm) x = this.lastNorm.forward(x);
    if (this.pooler)
      return tanh(this.pooler.forward(reshape(narrow(x, 1, 0, 1), [shape[0], this.#shape.width])));
    return this.head ? this.head.forward(x) : linear(x, this.tokens.weight);
  }
}
