/** Fine-tuning as a user does it with `fit`: a BERT classifier as a whole, and a Llama by LoRA with activation checkpointing. */
import { lora } from "../../../src/adapters/index.js";
import type { Device } from "../../../src/device/device.js";
import { files } from "../../../src/hub/index.js";
import { crossEntropy, narrow, reshape, type Tensor, tensor } from "../../../src/index.js";
import { type CausalModel, type EncoderSequence, fromPretrained } from "../../../src/models/index.js";
import { AdamW } from "../../../src/optim/index.js";
import { fit as trainModel } from "../../../src/train/index.js";

/** test/fixtures/fine_tuning.json */
export interface FineTuningFacts {
  readonly classifier: {
    readonly lr: number;
    readonly batches: readonly (readonly (readonly number[])[])[];
    readonly lengths: readonly number[];
    readonly labels: readonly (readonly number[])[];
    readonly losses: readonly number[];
  };
  readonly lora: {
    readonly lr: number;
    readonly rank: number;
    readonly alpha: number;
    readonly rows: readonly (readonly (readonly number[])[])[];
    readonly losses: readonly number[];
  };
}

export interface FineTuningOptions {
  readonly kind: keyof FineTuningFacts;
  /** Files of the model, in base64. */
  readonly model: Readonly<Record<string, string>>;
  readonly facts: FineTuningFacts;
}

/** Losses of the steps. */
export function fineTune(device: Device, { kind, model, facts }: FineTuningOptions): Promise<number[]> {
  const bytes = Object.entries(model).map(
    ([name, text]) => [name, Uint8Array.from(atob(text), (c) => c.charCodeAt(0))] as const,
  );
  const source = files(new Map(bytes));
  const losses: number[] = [];
  const settings = {
    gradClip: 1,
    epochs: 4,
    callbacks: [{ onStep: ({ loss }: { readonly loss: number }) => losses.push(loss) }],
  };
  const int32 = (values: never) => tensor(values, { dtype: "int32", device });
  const runs = {
    classifier: async () => {
      const { lr, batches, lengths, labels } = facts.classifier;
      const { model: encoder } = await fromPretrained<EncoderSequence>(source, { device, head: "sequence" });
      await trainModel({
        ...settings,
        model: encoder,
        optimizer: new AdamW(encoder.parameters(), { lr }),
        train: batches.map((rows, i) => ({
          tokens: int32(rows as never),
          lengths: int32(lengths as never),
          labels: int32(labels[i] as never),
        })),
        computeLoss: (of, batch) =>
          crossEntropy(of.forward(batch.tokens, { lengths: batch.lengths }), batch.labels),
      });
    },
    lora: async () => {
      const { lr, rank, alpha, rows } = facts.lora;
      const { model: decoder } = await fromPretrained<CausalModel & { gradientCheckpointing: boolean }>(
        source,
        { device },
      );
      decoder.gradientCheckpointing = true;
      const adapter = lora(decoder, { targets: ["q_proj", "v_proj"], rank, alpha });
      const first = [...adapter.layers].map(([name, { loraA }]) => {
        const data = Float32Array.from({ length: loraA.size }, (_, i) => 0.3 * Math.sin(7 * i));
        return [`${name}.lora_A.weight`, { dtype: "float32", shape: loraA.shape, data }] as const;
      });
      await decoder.loadStateDict(new Map(first), { optional: [/^/] });
      await trainModel({
        ...settings,
        model: decoder,
        optimizer: new AdamW(adapter.parameters(), { lr }),
        train: rows.map((row) => ({ tokens: int32(row as never) })),
        computeLoss: (of, { tokens }: { readonly tokens: Tensor }) => {
          const [n, t] = tokens.shape;
          const logits = of.forward(narrow(tokens, 1, 0, t - 1));
          const targets = narrow(tokens, 1, 1, t - 1);
          return crossEntropy(
            reshape(logits, [n * (t - 1), logits.shape[2]]),
            reshape(targets, [n * (t - 1)]),
          );
        },
      });
    },
  };
  return runs[kind]().then(() => losses);
}
