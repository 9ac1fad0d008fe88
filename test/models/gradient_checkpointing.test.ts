/** Activation checkpointing of the families' layers, and documents that are packed in one sequence. */
import { describe, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.js";
import { noGrad, type Tensor } from "../../src/graph/tensor.js";
import { type CausalModel, CharGpt, type EncoderMaskedLm, fromPretrained } from "../../src/models/index.js";
import type { Module } from "../../src/nn/index.js";
import { square, tensor } from "../../src/ops/index.js";
import "../../src/ops/methods.js";
import { devices } from "../devices.js";
import { fixtureSource } from "./fixture.js";

const { device } = devices[1];
const tokens = tensor(
  [
    [5, 9, 7, 3, 8, 2],
    [4, 4, 1, 6, 0, 3],
  ],
  { dtype: "int32", device },
);

async function gradients(model: Module & { gradientCheckpointing: boolean }, isSaving: boolean) {
  model.gradientCheckpointing = isSaving;
  for (const parameter of model.parameters()) parameter.grad = undefined;
  const loss = square((model as Module<[Tensor], Tensor>).forward(tokens)).mean();
  backward(loss);
  const values: unknown[] = [await loss.item()];
  for (const { grad } of model.parameters()) if (grad) values.push(await grad.tolist());
  return values;
}

describe("gradientCheckpointing", () => {
  test.each(["gpt2", "llama", "qwen3", "mistral", "bert_maskedLm", "distilbert_sequence"])(
    "%s",
    async (name) => {
      const head = name.includes("_") ? (name.split("_")[1] as "maskedLm") : "causalLm";
      const { model } = await fromPretrained<EncoderMaskedLm>(fixtureSource(name), { device, head });
      const plain = await gradients(model, false);
      expect(plain.length).toBeGreaterThan(10);
      expect(await gradients(model, true)).toEqual(plain);
      expect(model.gradientCheckpointing).toBe(true);
    },
  );

  test("CharGpt", async () => {
    const model = new CharGpt({ width: 16, numHeads: 2, numLayers: 2, device, gradientCheckpointing: true });
    expect(model.gradientCheckpointing).toBe(true);
    expect(await gradients(model, true)).toEqual(await gradients(model, false));
  });
});

describe("documents", () => {
  test.each(["gpt2", "llama", "mistral"])("%s: as each alone", async (name) => {
    const { model } = await fromPretrained<CausalModel>(fixtureSource(name), { device });
    const documents = tensor([[0, 0, 0, 1, 1, 2]], { dtype: "int32", device });
    const packed = tensor([[5, 9, 7, 3, 8, 2]], { dtype: "int32", device });
    const together = (await noGrad(() => model.forward(packed, { documents })).tolist()) as number[][][];
    const alone: number[][] = [];
    for (const row of [[5, 9, 7], [3, 8], [2]]) {
      const own = tensor([row], { dtype: "int32", device });
      alone.push(...((await noGrad(() => model.forward(own)).tolist()) as number[][][])[0]);
    }
    alone.forEach((logits, i) => {
      for (const [j, logit] of logits.entries()) expect(together[0][i][j]).toBeCloseTo(logit, 4);
    });
  });
});
