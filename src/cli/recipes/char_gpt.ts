/**
 * A GPT over characters, from nothing: 4 layers of width 128, 128 characters of context. On tiny Shakespeare the aim is a validation loss of
 * at most 1.75 after 1,200 steps of 16 rows.
 */
import { DataLoader, TextDataset } from "../../data/index.js";
import { CharTokenizer } from "../../formats/text.js";
import type { Tensor } from "../../graph/tensor.js";
import { CharGpt } from "../../models/gpt/gpt.js";
import { crossEntropy, initialize } from "../../nn/index.js";
import { manualSeed, mul, randn, reshape } from "../../ops/index.js";
import { AdamW, cosine } from "../../optim/index.js";
import { evaluate, fit as trainModel } from "../../train/index.js";
import { progressOf, type RecipeContext, type RecipeResult } from "./recipe.js";

const contextLength = 128;
const batchSize = 16;
const defaultSteps = 1200;
/** Share of the text that is trained on; the rest validates. */
const trainingShare = 0.9;
/** The aim for tiny Shakespeare and the default steps. */
const promisedLoss = 1.75;

/** Mean cross-entropy of logits [N, T, vocabulary] and tokens [N, T]. */
function tokenLoss(logits: Tensor, targets: Tensor): Tensor {
  const [n, t, vocabulary] = logits.shape;
  return crossEntropy(reshape(logits, [n * t, vocabulary]), reshape(targets, [n * t]));
}

export async function charGpt(context: RecipeContext): Promise<RecipeResult> {
  const { device, seed, text, signal, report, steps = defaultSteps } = context;
  manualSeed(seed);
  const tokenizer = CharTokenizer.fromText(text);
  const ids = tokenizer.encode(text);
  const split = Math.floor(ids.length * trainingShare);
  const room = split - contextLength - 1;
  // Rows overlap such that one epoch has so many steps.
  const stride = Math.max(1, Math.floor(room / (steps * batchSize)));
  const training = new TextDataset(ids.subarray(0, split), contextLength, { stride });
  const validation = new TextDataset(ids.subarray(split), contextLength);
  const model = new CharGpt({ vocabulary: tokenizer.size, context: contextLength, device });
  // The initial scale of GPT-2 (Radford et al. 2019).
  for (const { weight } of [model.tok, model.pos]) {
    initialize(weight, mul(randn(weight.shape, { device }), 0.02));
  }
  report(
    `${ids.length} characters, ${tokenizer.size} distinct; ${model.parameterCount()} parameters; ${steps} steps`,
  );
  const { seconds } = await trainModel({
    model,
    optimizer: new AdamW(model.parameters(), { lr: 4e-3, betas: [0.9, 0.99], weightDecay: 0.1 }),
    schedule: cosine({ steps, warmup: Math.min(100, Math.ceil(steps / 10)) }),
    train: new DataLoader(training, { device, batchSize, shuffle: { seed }, dropLast: true }),
    loss: tokenLoss,
    gradClip: 1,
    epochs: Math.ceil((steps * batchSize) / training.length),
    stop: [({ step }) => (step >= steps ? `${steps} steps are done` : undefined)],
    signal,
    callbacks: [progressOf(context, steps)],
  });
  const { loss } = await evaluate({
    model,
    data: new DataLoader(validation, { device, batchSize }),
    loss: tokenLoss,
  });
  const promise = { figure: "validationLoss", atMost: promisedLoss, isKept: loss <= promisedLoss };
  return { figures: { validationLoss: loss, steps }, promise, seconds };
}
