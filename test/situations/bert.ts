/** A small BERT for masked language modelling, with the names of Hugging Face's files. */
import type { Device } from "../../src/device/device.js";
import type { Tensor } from "../../src/graph/tensor.js";
import {
  Embedding,
  joinHeads,
  LayerNorm,
  Linear,
  Module,
  parameter,
  splitHeads,
} from "../../src/nn/index.js";
import * as ops from "../../src/ops/index.js";

export const sizes = { vocabulary: 12, width: 16, heads: 2, layers: 2, positions: 8 };
const eps = 1e-12;

class Embeddings extends Module {
  readonly wordEmbeddings: Embedding;
  readonly positionEmbeddings: Embedding;
  readonly tokenTypeEmbeddings: Embedding;
  readonly LayerNorm: LayerNorm;
  readonly positionIds: Tensor;

  constructor(device: Device) {
    super();
    const { vocabulary, width, positions } = sizes;
    this.wordEmbeddings = new Embedding(vocabulary, width, { device });
    this.positionEmbeddings = new Embedding(positions, width, { device });
    this.tokenTypeEmbeddings = new Embedding(2, width, { device });
    this.LayerNorm = new LayerNorm(width, { device, eps });
    const derive = (target: Device) => ops.reshape(ops.arange(positions, { device: target }), [1, positions]);
    this.positionIds = this.registerBuffer("positionIds", derive(device), { derive });
  }

  forward(inputIds: Tensor, tokenTypeIds?: Tensor): Tensor {
    const positions = this.positionEmbeddings.forward(ops.narrow(this.positionIds, 1, 0, inputIds.shape[1]));
    const types = this.tokenTypeEmbeddings.forward(tokenTypeIds ?? ops.zerosLike(inputIds));
    return this.LayerNorm.forward(ops.add(ops.add(this.wordEmbeddings.forward(inputIds), positions), types));
  }
}

class SelfAttention extends Module {
  readonly query: Linear;
  readonly key: Linear;
  readonly value: Linear;

  constructor(device: Device) {
    super();
    const { width } = sizes;
    [this.query, this.key, this.value] = [0, 1, 2].map(() => new Linear(width, width, { device }));
  }

  forward(x: Tensor, mask: Tensor | undefined): Tensor {
    const [q, k, v] = [this.query, this.key, this.value].map((p) => splitHeads(p.forward(x), sizes.heads));
    return joinHeads(ops.scaledDotProductAttention(q, k, v, { mask }));
  }
}

/** LayerNorm(x + dense(hidden)). */
class Output extends Module {
  readonly dense: Linear;
  readonly LayerNorm: LayerNorm;

  constructor(inner: number, device: Device) {
    super();
    this.dense = new Linear(inner, sizes.width, { device });
    this.LayerNorm = new LayerNorm(sizes.width, { device, eps });
  }

  forward(hidden: Tensor, x: Tensor): Tensor {
    return this.LayerNorm.forward(ops.add(x, this.dense.forward(hidden)));
  }
}

class Layer extends Module {
  readonly selfAttention: SelfAttention;
  readonly attentionOutput: Output;
  readonly intermediate: Linear;
  readonly output: Output;

  constructor(device: Device) {
    super();
    this.selfAttention = new SelfAttention(device);
    this.attentionOutput = new Output(sizes.width, device);
    this.intermediate = new Linear(sizes.width, 2 * sizes.width, { device });
    this.output = new Output(2 * sizes.width, device);
  }

  override stateNames() {
    return {
      selfAttention: "attention.self",
      attentionOutput: "attention.output",
      intermediate: "intermediate.dense",
    };
  }

  forward(x: Tensor, mask: Tensor | undefined): Tensor {
    const attended = this.attentionOutput.forward(this.selfAttention.forward(x, mask), x);
    return this.output.forward(ops.gelu(this.intermediate.forward(attended)), attended);
  }
}

class Predictions extends Module {
  readonly transform: { readonly dense: Linear; readonly LayerNorm: LayerNorm };
  readonly bias: Tensor;
  readonly decoder: Linear;

  constructor(words: Embedding, device: Device) {
    super();
    const { width, vocabulary } = sizes;
    this.transform = {
      dense: new Linear(width, width, { device }),
      LayerNorm: new LayerNorm(width, { device, eps }),
    };
    this.bias = parameter(ops.zeros([vocabulary], { device }));
    this.decoder = new Linear(width, vocabulary, { device });
    this.decoder.weight = words.weight;
    this.decoder.bias = this.bias;
  }

  forward(x: Tensor): Tensor {
    const { dense, LayerNorm } = this.transform;
    return this.decoder.forward(LayerNorm.forward(ops.gelu(dense.forward(x))));
  }
}

export interface Inputs {
  readonly attentionMask?: Tensor;
  readonly tokenTypeIds?: Tensor;
}

export class BertForMaskedLM extends Module {
  readonly bert: { readonly embeddings: Embeddings; readonly encoder: { readonly layer: readonly Layer[] } };
  readonly predictions: Predictions;

  constructor(device: Device) {
    super();
    const embeddings = new Embeddings(device);
    const layer = Array.from({ length: sizes.layers }, () => new Layer(device));
    this.bert = { embeddings, encoder: { layer } };
    this.predictions = new Predictions(embeddings.wordEmbeddings, device);
  }

  override stateNames() {
    return { predictions: "cls.predictions" };
  }

  /** The head for the next sentence, which files of pre-training have. */
  override ignoredKeys() {
    return [/^cls\.seq_relationship\./];
  }

  /** inputIds int32 [N, T], attentionMask int32 [N, T], 0 where padding is → logits [N, T, vocabulary]. */
  forward(
    inputIds: Tensor,
    { attentionMask, tokenTypeIds }: Inputs = {},
  ): { logits: Tensor; hidden: Tensor[] } {
    const mask = attentionMask && ops.ne(ops.reshape(attentionMask, [inputIds.shape[0], 1, 1, -1]), 0);
    const hidden = [this.bert.embeddings.forward(inputIds, tokenTypeIds)];
    for (const layer of this.bert.encoder.layer) hidden.push(layer.forward(hidden[hidden.length - 1], mask));
    return { logits: this.predictions.forward(hidden[hidden.length - 1]), hidden };
  }
}

/** Keys of a file of `transformers`, without those of the tied head. */
export const keysInFile: readonly string[] = [
  "bert.embeddings.word_embeddings.weight",
  "bert.embeddings.position_embeddings.weight",
  "bert.embeddings.token_type_embeddings.weight",
  "bert.embeddings.LayerNorm.weight",
  "bert.embeddings.LayerNorm.bias",
  ...[0, 1].flatMap((i) =>
    [
      "attention.self.query",
      "attention.self.key",
      "attention.self.value",
      "attention.output.dense",
      "attention.output.LayerNorm",
      "intermediate.dense",
      "output.dense",
      "output.LayerNorm",
    ].flatMap((name) => [`bert.encoder.layer.${i}.${name}.weight`, `bert.encoder.layer.${i}.${name}.bias`]),
  ),
  "cls.predictions.bias",
  "cls.predictions.transform.dense.weight",
  "cls.predictions.transform.dense.bias",
  "cls.predictions.transform.LayerNorm.weight",
  "cls.predictions.transform.LayerNorm.bias",
];
