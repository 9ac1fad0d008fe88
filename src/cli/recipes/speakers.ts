/**
 * A small BERT from nothing: 2 layers of width 128 over words, pretrained by masked language modelling on the speeches of a play, then
 * fine-tuned to name the speaker of a speech among the ten most frequent. test/peers/speakers_torch.py is the same in PyTorch.
 */
import { DataLoader, MaskedTexts, TensorDataset } from "../../data/index.js";
import type { Tensor } from "../../graph/tensor.js";
import { readEncoderConfig } from "../../models/bert/config.js";
import { EncoderMaskedLm, EncoderSequence } from "../../models/bert/heads.js";
import type { Encoder } from "../../models/bert/model.js";
import { crossEntropy, initialize, type Module } from "../../nn/index.js";
import { manualSeed, mul, randn, reshape } from "../../ops/index.js";
import { AdamW, cosine } from "../../optim/index.js";
import { accuracy, evaluate, fit as trainModel } from "../../train/index.js";
import { progressOf, type RecipeContext, type RecipeResult } from "./recipe.js";
import { type Labelled, majorityShare, special, speechData } from "./speeches.js";

const contextLength = 48;
const batchSize = 32;
const maxWords = 3000;
const width = 128;
const defaultSteps = 750;
/** Share of the steps that pretrains; the others fine-tune. */
const pretrainingShare = 2 / 3;
const peakRate = 1e-3;
/** Two points less than PyTorch's mean accuracy on tiny Shakespeare (0.31 for seeds 1 and 2; the majority has 0.14). */
const promisedAccuracy = 0.29;

type Batch = Readonly<Record<"tokens" | "labels" | "lengths", Tensor>>;

function maskedLoss(model: EncoderMaskedLm, { tokens, labels, lengths }: Batch): Tensor {
  const logits = model.forward(tokens, { lengths });
  const [n, t, vocabulary] = logits.shape;
  return crossEntropy(reshape(logits, [n * t, vocabulary]), reshape(labels, [n * t]), { ignoreIndex: -100 });
}

function speakerLoss(model: EncoderSequence, { tokens, labels, lengths }: Batch) {
  const output = model.forward(tokens, { lengths });
  return { loss: crossEntropy(output, labels), output };
}

/** Tables of embeddings start small (Devlin et al. 2018): the head's logits are products with them. */
function shrinkTables({ words, positions, types }: Encoder): void {
  for (const { weight } of [words, positions, types!])
    initialize(weight, mul(randn(weight.shape, { device: weight.device }), 0.02));
}

function labelled(speeches: readonly Labelled[]) {
  const tokens = new Int32Array(speeches.length * contextLength).fill(special.padding);
  speeches.forEach((speech, i) => {
    tokens.set(speech.tokens, i * contextLength);
  });
  const column = (of: (speech: Labelled) => number) => ({
    dtype: "int32" as const,
    shape: [speeches.length],
    data: Int32Array.from(speeches, of),
  });
  return new TensorDataset({
    tokens: { dtype: "int32", shape: [speeches.length, contextLength], data: tokens },
    labels: column(({ label }) => label),
    lengths: column((speech) => speech.tokens.length),
  });
}

/** What both parts of the training share. */
function plan(context: RecipeContext, model: Module, steps: number) {
  return {
    optimizer: new AdamW(model.parameters(), { lr: peakRate, weightDecay: 0.01 }),
    schedule: cosine({ steps, warmup: Math.ceil(steps / 10) }),
    gradClip: 1,
    stop: [({ step }: { step: number }) => (step >= steps ? `${steps} steps are done` : undefined)],
    signal: context.signal,
    callbacks: [progressOf(context, steps)],
  };
}

export async function speakers(context: RecipeContext): Promise<RecipeResult> {
  const { device, seed, text, signal, report, steps = defaultSteps } = context;
  manualSeed(seed);
  const data = speechData(text, { contextLength, maxWords });
  const { vocabulary, texts, training, validation } = data;
  const pretraining = Math.ceil(steps * pretrainingShare);
  const fineTuning = Math.max(1, steps - pretraining);
  const config = readEncoderConfig({
    model_type: "bert",
    vocab_size: vocabulary,
    max_position_embeddings: contextLength,
    hidden_size: width,
    intermediate_size: 4 * width,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_labels: data.speakers.length,
  });
  const load = <B>(dataset: ConstructorParameters<typeof DataLoader<B>>[0]) =>
    new DataLoader(dataset, {
      device,
      batchSize: Math.min(batchSize, dataset.length),
      shuffle: { seed },
      dropLast: true,
    });
  const epochs = (length: number, of: number) => Math.ceil(of / Math.max(1, Math.floor(length / batchSize)));

  const masked = new EncoderMaskedLm(config, { device });
  shrinkTables(masked.base);
  report(`${texts.length} speeches, ${vocabulary} tokens; ${masked.parameterCount()} parameters`);
  report(
    `speakers: ${data.speakers.join(", ")}; ${training.length} speeches, ${validation.length} held back`,
  );
  const hidden = new MaskedTexts(texts, {
    contextLength,
    mask: special.mask,
    vocabulary,
    special: [special.start, special.end],
    padding: special.padding,
    seed,
  });
  const first = await trainModel({
    ...plan(context, masked, pretraining),
    model: masked,
    train: load(hidden),
    computeLoss: maskedLoss,
    epochs: epochs(texts.length, pretraining),
  });

  const model = new EncoderSequence(config, { device });
  const learnt = masked.base.parameters();
  model.base.parameters().forEach((parameter, i) => {
    initialize(parameter, learnt[i]);
  });
  const second = signal.aborted
    ? undefined
    : await trainModel({
        ...plan(context, model, fineTuning),
        model,
        train: load(labelled(training)),
        computeLoss: speakerLoss,
        epochs: epochs(training.length, fineTuning),
      });
  const { loss, metrics } = await evaluate({
    model,
    data: new DataLoader(labelled(validation), { device, batchSize }),
    computeLoss: speakerLoss,
    metrics: { accuracy: (output: Tensor, batch: Batch) => accuracy(output, batch.labels) },
  });
  const figures = {
    accuracy: metrics.accuracy,
    majority: majorityShare(validation),
    validationLoss: loss,
    steps,
  };
  const isKept = metrics.accuracy >= promisedAccuracy;
  const promise = { figure: "accuracy", atLeast: promisedAccuracy, isKept };
  return { figures, promise, seconds: first.seconds + (second?.seconds ?? 0) };
}
