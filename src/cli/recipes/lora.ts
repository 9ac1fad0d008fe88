/** LoRA of a real decoder on a page of text: rank 8 beside the queries' and values' layers, 128 tokens a row, activation checkpointing. */
import { lora, saveAdapter } from "../../adapters/index.js";
import { causalTexts, DataLoader } from "../../data/index.js";
import type { Tensor } from "../../graph/tensor.js";
import type { CausalModel } from "../../models/index.js";
import { crossEntropy } from "../../nn/index.js";
import { manualSeed, reshape } from "../../ops/index.js";
import { AdamW, linearWarmup } from "../../optim/index.js";
import { evaluate, fit as trainModel } from "../../train/index.js";
import { UsageError } from "../exit.js";
import { loadLanguageModel } from "../language.js";
import { progressOf, type RecipeContext, type RecipeResult } from "./recipe.js";

const contextLength = 128;
const defaultSteps = 24;
/** Names of the layers in the families: Llama and its relatives, GPT-2. */
const targets = ["q_proj", "v_proj", "c_attn"];

type Batch = Readonly<Record<"tokens" | "labels", Tensor>>;

function lossOf(model: CausalModel, { tokens, labels }: Batch): Tensor {
  const logits = model.forward(tokens);
  const [n, t, vocabulary] = logits.shape;
  return crossEntropy(reshape(logits, [n * t, vocabulary]), reshape(labels, [n * t]), { ignoreIndex: -100 });
}

export async function loraOfText(context: RecipeContext): Promise<RecipeResult> {
  const { device, seed, text, signal, report, output, steps = defaultSteps } = context;
  if (context.model === undefined) throw new UsageError("the recipe needs --model: a decoder to adapt");
  const loaded = await loadLanguageModel<CausalModel & { gradientCheckpointing: boolean }>(
    context.model,
    "causalLm",
    device,
    { signal },
  );
  const { model, tokenizer } = loaded;
  manualSeed(seed);
  const ids = tokenizer.encode(text, { addSpecialTokens: false });
  const rows = causalTexts([ids], { contextLength });
  model.gradientCheckpointing = true;
  const adapter = lora(model, { targets, rank: 8, alpha: 16 });
  report(`${ids.length} tokens in ${rows.length} rows; ${adapter.parameterCount()} trained parameters`);
  const loader = () => new DataLoader(rows, { device, shuffle: { seed } });
  const before = await evaluate({ model, data: loader(), computeLoss: lossOf });
  const { seconds } = await trainModel({
    model,
    optimizer: new AdamW(adapter.parameters(), { lr: 2e-3 }),
    schedule: linearWarmup(2),
    train: loader(),
    computeLoss: lossOf,
    epochs: Math.ceil(steps / rows.length),
    stop: [({ step }) => (step >= steps ? `${steps} steps are done` : undefined)],
    signal,
    callbacks: [progressOf(context, steps)],
  });
  const after = await evaluate({ model, data: loader(), computeLoss: lossOf });
  if (output !== undefined) {
    await saveAdapter(adapter, output, { taskType: "CAUSAL_LM" });
    report(`the adapter is in ${output}`);
  }
  return { figures: { lossBefore: before.loss, lossAfter: after.loss, steps }, seconds };
}
