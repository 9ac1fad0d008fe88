/** A BERT as users write it: loads a file with Hugging Face's names, trains on records, is profiled, quantized and saved. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { DataLoader, TensorDataset } from "../../src/data/index.js";
import type { Device } from "../../src/device/device.js";
import { openMeta } from "../../src/device/meta.js";
import { type HostTensor, readSafetensors, writeSafetensors } from "../../src/formats/index.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { crossEntropy, summary } from "../../src/nn/index.js";
import * as ops from "../../src/ops/index.js";
import "../../src/ops/methods.js";
import { AdamW } from "../../src/optim/index.js";
import { profile } from "../../src/profile/index.js";
import {
  int8Dynamic,
  int8Static,
  loadQuantized,
  quantize,
  quantizedState,
} from "../../src/quantization/index.js";
import { evaluate, hostTensors, fit as trainModel } from "../../src/train/index.js";
import { devices, reference } from "../devices.js";
import { BertForMaskedLM, keysInFile, sizes } from "./bert.js";

const samples = 24;
const length = 6;

/** Sentences whose tokens count up; one is masked (token 1), others are padding (token 0). */
function records(): { inputIds: HostTensor; attentionMask: HostTensor; labels: HostTensor } {
  const [ids, mask, labels] = [0, 1, 2].map(() => new Int32Array(samples * length));
  for (let n = 0; n < samples; n++) {
    const used = 4 + (n % 3);
    for (let t = 0; t < length; t++) {
      const at = n * length + t;
      const token = 2 + ((n + t) % (sizes.vocabulary - 2));
      ids[at] = t >= used ? 0 : t === n % 4 ? 1 : token;
      mask[at] = Number(t < used);
      labels[at] = t === n % 4 ? token : -100;
    }
  }
  const of = (data: Int32Array): HostTensor => ({ dtype: "int32", shape: [samples, length], data });
  return { inputIds: of(ids), attentionMask: of(mask), labels: of(labels) };
}

const dataset = () => new TensorDataset(records());
const loader = (device: Device) => new DataLoader(dataset(), { device, batchSize: 8, shuffle: { seed: 1 } });

type Batch = { readonly inputIds: Tensor; readonly attentionMask: Tensor; readonly labels: Tensor };

function computeLoss(model: BertForMaskedLM, { inputIds, attentionMask, labels }: Batch) {
  const output = model.forward(inputIds, { attentionMask });
  const logits = ops.reshape(output.logits, [-1, sizes.vocabulary]);
  return { loss: crossEntropy(logits, ops.reshape(labels, [-1]), { ignoreIndex: -100 }), output };
}

/** Sentences whose masked token is found. */
const found = ({ logits }: { logits: Tensor }, { labels }: Batch) =>
  ops.sum(ops.cast(ops.eq(ops.argmax(logits, -1), labels), "float32"));

/** A file as `transformers` writes it: tied heads once, with what an old one has besides. */
async function file(): Promise<Map<string, HostTensor>> {
  ops.manualSeed(3);
  const tensors = await hostTensors(new BertForMaskedLM(reference).stateDict());
  const { tensors: read } = readSafetensors(writeSafetensors(tensors));
  read.set("bert.embeddings.position_ids", { dtype: "int32", shape: [1, 512], data: new Int32Array(512) });
  read.set("cls.seq_relationship.weight", { dtype: "float32", shape: [2, 16], data: new Float32Array(32) });
  read.set("cls.seq_relationship.bias", { dtype: "float32", shape: [2], data: new Float32Array(2) });
  return read;
}

it("has the names of a file", async () => {
  const model = new BertForMaskedLM(reference);
  const tied = ["cls.predictions.decoder.weight", "cls.predictions.decoder.bias"];
  expect([...model.stateDict().keys()].sort()).toEqual([...keysInFile, ...tied].sort());
  expect([...model.namedParameters().keys()].sort()).toEqual([...keysInFile].sort());
  expect([...(await hostTensors(model.stateDict())).keys()].sort()).toEqual([...keysInFile].sort());
});

describe.each(devices)("$label", ({ device }) => {
  const ids = ops.tensor([2, 3, 1, 5, 0, 0], { device, dtype: "int32", shape: [1, 6] });

  it("loads a file, on the device or after the meta device, with either name of the tied head", async () => {
    const tensors = await file();
    const model = new BertForMaskedLM(device);
    expect(await model.loadStateDict(tensors)).toEqual({
      ignored: ["bert.embeddings.position_ids", "cls.seq_relationship.weight", "cls.seq_relationship.bias"],
      missing: [],
    });
    const want = await model.forward(ids).logits.data();
    const torch = new Map(tensors);
    torch.set("cls.predictions.decoder.weight", tensors.get("bert.embeddings.word_embeddings.weight")!);
    torch.delete("bert.embeddings.word_embeddings.weight");
    for (const state of [tensors, torch]) {
      const other = new BertForMaskedLM(openMeta());
      await other.loadStateDict(state, { assign: device });
      expect(await other.forward(ids).logits.data()).toEqual(want);
      expect(other.predictions.decoder.weight).toBe(other.bert.embeddings.wordEmbeddings.weight);
    }
  });

  it("learns from records, goes on from a checkpoint to the same bits, and is evaluated", async () => {
    const make = async () => {
      const model = new BertForMaskedLM(device);
      await model.loadStateDict(await file());
      const optimizer = new AdamW(model.parameters(), { lr: 0.01 });
      return { model, optimizer, train: loader(device), computeLoss, metrics: { found } };
    };
    const whole = await make();
    const validation = new DataLoader(dataset(), { device, batchSize: 16 });
    const { history } = await trainModel({ ...whole, validation, epochs: 10 });
    expect(history[9].loss).toBeLessThan(history[0].loss / 2);
    expect(history[9].metrics.found).toBeGreaterThan(0.5);
    expect(history[9].samples).toBe(samples);
    const { loss, metrics } = await evaluate({
      model: whole.model,
      data: validation,
      computeLoss,
      metrics: { found },
    });
    expect({ loss, metrics }).toEqual(history[9].validation);
    expect(whole.model.predictions.decoder.weight).toBe(whole.model.bert.embeddings.wordEmbeddings.weight);

    const directory = await mkdtemp(join(tmpdir(), "wattgrad-bert-"));
    try {
      const controller = new AbortController();
      const onStep = ({ step }: { step: number }) => step === 7 && controller.abort();
      const { signal } = controller;
      await trainModel({
        ...(await make()),
        epochs: 10,
        checkpoint: { directory },
        signal,
        callbacks: [{ onStep }],
      });
      const resumed = await make();
      await trainModel({ ...resumed, validation, epochs: 10, checkpoint: { directory, resume: true } });
      const weights = async ({ model }: typeof whole) => hostTensors(model.stateDict());
      expect(await weights(resumed)).toEqual(await weights(whole));
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it("is summarized and profiled by its names", async () => {
    const model = new BertForMaskedLM(device);
    const table = summary(model, [[1, length], { attentionMask: [1, length] }], { dtype: "int32" });
    const names = [...model.namedModules()].map(([name]) => name);
    expect(table.layers.map(({ name }) => name)).toEqual(names);
    expect(names).toContain("bert.encoder.layer.1.attention.self.query");
    expect(table.parameters).toBe(model.parameterCount());
    expect(table.layers.reduce((sum, { parameters }) => sum + parameters, 0)).toBe(table.parameters);
    const report = await profile(device, () => model.forward(ids), { model, repetitions: 1 });
    const modules = report.modules.map(({ name }) => name);
    expect(modules).toContain("bert.encoder.layer.0.attention.self.query");
    expect(modules).toContain("cls.predictions.decoder");
  });

  it("is quantized, saved and loaded", async () => {
    const forward = (model: BertForMaskedLM, { inputIds, attentionMask }: Batch) =>
      model.forward(inputIds, { attentionMask });
    for (const scheme of [
      int8Dynamic(),
      int8Static({ data: loader(device), forward: forward as (model: unknown, batch: Batch) => unknown }),
    ]) {
      const model = new BertForMaskedLM(device);
      await model.loadStateDict(await file());
      await quantize(model, scheme);
      const want = await model.forward(ids).logits.data();
      const saved = await quantizedState(model);
      expect(saved.tensors.get("bert.encoder.layer.0.intermediate.dense.weight")?.dtype).toBe("int8");
      // The table is tied to the head, and quantized with it; a calibrated layer's scheme has no table.
      const table = scheme.kind === "int8-dynamic" ? "int8" : "float32";
      expect(saved.tensors.get("bert.embeddings.word_embeddings.weight")?.dtype).toBe(table);
      const again = await loadQuantized(new BertForMaskedLM(openMeta()), saved, device);
      expect(await again.forward(ids).logits.data()).toEqual(want);
    }
  });
});
