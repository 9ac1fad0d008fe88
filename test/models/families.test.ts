/** Every family against the original library: logits, hidden states, loss and gradients, on every device of Node. */
import { describe, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.js";
import type { Device } from "../../src/device/device.js";
import { noGrad, type Tensor } from "../../src/graph/tensor.js";
import { gpt2Names } from "../../src/models/gpt2/names.js";
import { fromPretrained } from "../../src/models/index.js";
import { transposedValues } from "../../src/models/names.js";
import { crossEntropy, type Module } from "../../src/nn/index.js";
import * as ops from "../../src/ops/index.js";
import { devices } from "../devices.js";
import { expectedOf, type Facts, fixtureSource } from "./fixture.js";
import "../../src/ops/methods.js";
import type { AnswerLogits } from "../../src/models/index.js";

/** The bounds of the project: absolute for results, relative for gradients. */
const resultBound = 1e-4;
const gradientBound = 1e-3;

const decoders = ["gpt2", "gpt2_scaled", "llama", "smollm2", "mistral", "qwen2", "qwen3"];
const encoderHeads = ["maskedLm", "sequence", "tokens", "question"] as const;
const encoders = ["bert", "roberta", "distilbert"];

const int32 = (rows: readonly (readonly number[])[], device: Device) =>
  ops.tensor(Int32Array.from(rows.flat()), { shape: [rows.length, rows[0].length], device });

/** The rows of tokens of [N, T, …], without those of padding. */
function tokenRows(data: ArrayLike<number>, { lengths, tokens }: Facts): number[] {
  const width = data.length / tokens.length / tokens[0].length;
  return lengths.flatMap((length, n) =>
    Array.from(data).slice(n * tokens[0].length * width, (n * tokens[0].length + length) * width),
  );
}

function expectWithin(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  bound: number,
  what: string,
): void {
  expect(actual.length, what).toBe(expected.length);
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i] - expected[i]);
    worst = Math.max(worst, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference);
  }
  expect(worst, what).toBeLessThanOrEqual(bound);
}

async function expectGradients(
  model: Module,
  tensors: ReturnType<typeof expectedOf>["tensors"],
  turned: readonly RegExp[],
) {
  const parameters = model.namedParameters();
  let checked = 0;
  for (const [key, { data, shape, dtype }] of tensors) {
    if (!key.startsWith("grad.")) continue;
    const name = key.slice("grad.".length);
    const gradient = parameters.get(name)?.grad;
    expect(gradient, name).toBeDefined();
    const isTurned = turned.some((pattern) => pattern.test(name));
    const expected = isTurned ? transposedValues(data, shape[0], shape[1], dtype) : data;
    const largest = Math.max(...Array.from(expected, Math.abs));
    expectWithin(await gradient!.data(), expected, gradientBound * largest, name);
    checked++;
  }
  expect(checked).toBeGreaterThan(0);
}

describe.each(devices)("$label", ({ device }) => {
  test.each(decoders)("%s: logits, hidden states, gradients", async (name) => {
    const { tensors, facts } = expectedOf(name);
    const { model, head, report } = await fromPretrained(fixtureSource(name), { device });
    expect(head).toBe("causalLm");
    expect(report).toEqual({ initialised: [], ignored: [] });
    const tokens = int32(facts.tokens, device);
    const logits: Tensor = model.forward(tokens);
    expectWithin(
      tokenRows(await logits.data(), facts),
      tokenRows(tensors.get("logits")!.data, facts),
      resultBound,
      "logits",
    );
    const targets = facts.tokens.map((row, n) =>
      row.map((_, t) => (t + 1 < facts.lengths[n] ? row[t + 1] : -100)),
    );
    const loss = crossEntropy(
      ops.reshape(model.forward(tokens), [facts.tokens.flat().length, logits.shape[2]]),
      ops.reshape(int32(targets, device), [facts.tokens.flat().length]),
    );
    backward(loss);
    expect(Math.abs(Number(await loss.item()) - facts.loss)).toBeLessThan(resultBound);
    await expectGradients(model, tensors, name.startsWith("gpt2") ? (gpt2Names.transpose ?? []) : []);
    model.dispose();
    const base = await fromPretrained(fixtureSource(name), { device, head: "none" });
    const hidden: Tensor = noGrad(() => base.model.forward(tokens));
    expectWithin(
      tokenRows(await hidden.data(), facts),
      tokenRows(tensors.get("hidden")!.data, facts),
      resultBound,
      "hidden",
    );
    base.model.dispose();
  });

  test.each(encoders.flatMap((family) => encoderHeads.map((head) => [family, head] as const)))(
    "%s, %s: logits, hidden states, gradients",
    async (family, head) => {
      const name = `${family}_${head}`;
      const { tensors, facts } = expectedOf(name);
      const loaded = await fromPretrained(fixtureSource(name), { device });
      const { model } = loaded;
      expect(loaded.head).toBe(head);
      expect(loaded.report).toEqual({ initialised: [], ignored: [] });
      const tokens = int32(facts.tokens, device);
      const lengths = ops.tensor(Int32Array.from(facts.lengths), { shape: [facts.lengths.length], device });
      const call = { lengths, ...(facts.tokenTypes && { tokenTypes: int32(facts.tokenTypes, device) }) };
      const forward = () => model.forward(tokens, call);
      let loss: Tensor;
      if (head === "question") {
        const { start, end }: AnswerLogits = noGrad(forward);
        expectWithin(
          tokenRows(await start.data(), facts),
          tokenRows(tensors.get("start")!.data, facts),
          resultBound,
          "start",
        );
        expectWithin(
          tokenRows(await end.data(), facts),
          tokenRows(tensors.get("end")!.data, facts),
          resultBound,
          "end",
        );
        const seen = ops.lt(ops.arange(tokens.shape[1], { device }), ops.unsqueeze(lengths, 1));
        const starts = ops.where(seen, (forward() as AnswerLogits).start, -1e9);
        loss = crossEntropy(starts, ops.tensor(Int32Array.of(3, 2), { shape: [2], device }));
      } else {
        const logits: Tensor = noGrad(forward);
        const rows = (data: ArrayLike<number>) =>
          head === "sequence" ? Array.from(data) : tokenRows(data, facts);
        expectWithin(rows(await logits.data()), rows(tensors.get("logits")!.data), resultBound, "logits");
        if (head === "sequence") {
          loss = crossEntropy(forward() as Tensor, ops.tensor(Int32Array.of(2, 0), { shape: [2], device }));
        } else {
          const classes = logits.shape[2];
          let count = 0;
          const targets = facts.tokens.map((row, n) =>
            row.map((_, t) => (t < facts.lengths[n] ? (count++ * 5) % classes : -100)),
          );
          const flat = facts.tokens.flat().length;
          loss = crossEntropy(
            ops.reshape(forward() as Tensor, [flat, classes]),
            ops.reshape(int32(targets, device), [flat]),
          );
        }
      }
      backward(loss);
      expect(Math.abs(Number(await loss.item()) - facts.loss)).toBeLessThan(resultBound);
      await expectGradients(model, tensors, []);
      model.dispose();
      const base = await fromPretrained(fixtureSource(name), { device, head: "none" });
      const hidden: Tensor = noGrad(() => base.model.forward(tokens, call));
      expectWithin(
        tokenRows(await hidden.data(), facts),
        tokenRows(tensors.get("hidden")!.data, facts),
        resultBound,
        "hidden",
      );
      base.model.dispose();
    },
  );

  test("minilm: embeddings as the side files say", async () => {
    const { tensors, facts } = expectedOf("minilm");
    const { model, head, config, report } = await fromPretrained(fixtureSource("minilm"), { device });
    expect(head).toBe("embedding");
    expect(config.embedding).toEqual({ pooling: "mean", normalizes: true, maxLength: 24 });
    expect(report.initialised).toEqual([]);
    expect(report.ignored.toSorted()).toEqual([
      "embeddings.position_ids",
      "pooler.dense.bias",
      "pooler.dense.weight",
    ]);
    const tokens = int32(facts.tokens, device);
    const lengths = ops.tensor(Int32Array.from(facts.lengths), { shape: [facts.lengths.length], device });
    const vectors: Tensor = noGrad(() => model.forward(tokens, { lengths }));
    expectWithin(await vectors.data(), tensors.get("embedding")!.data, resultBound, "embedding");
    model.dispose();
    for (const [mode, key] of [
      ["cls", "cls_token"],
      ["max", "max_tokens"],
      ["mean", "mean_tokens"],
    ]) {
      const changes = {
        "1_Pooling/config.json": JSON.stringify({ [`pooling_mode_${key}`]: true }),
        "modules.json": JSON.stringify([
          { type: "a.Transformer", path: "" },
          { type: "a.Pooling", path: "1_Pooling" },
        ]),
      };
      const other = await fromPretrained(fixtureSource("minilm", changes), { device });
      const result: Tensor = noGrad(() => other.model.forward(tokens, { lengths }));
      expectWithin(await result.data(), tensors.get(mode)!.data, resultBound, mode);
      other.model.dispose();
    }
  });

  test("a half-precision model in several files, its tied head left out", async () => {
    const { tensors, facts } = expectedOf("smollm2");
    const { model, report } = await fromPretrained(fixtureSource("smollm2_bf16"), { device });
    expect(report).toEqual({ initialised: [], ignored: [] });
    // The weights are bfloat16 numbers in both copies.
    const logits: Tensor = noGrad(() => model.forward(int32(facts.tokens, device)));
    expectWithin(
      tokenRows(await logits.data(), facts),
      tokenRows(tensors.get("logits")!.data, facts),
      resultBound,
      "logits",
    );
    model.dispose();
  });

  test("all kinds of rotary positions", async () => {
    const { tensors, facts } = expectedOf<Facts & { configs: Record<string, object> }>("rotary");
    const { tokens } = expectedOf("llama").facts;
    expect(Object.keys(facts.configs)).toEqual(["linear", "dynamic", "llama3", "yarn"]);
    for (const [kind, config] of Object.entries(facts.configs)) {
      const source = fixtureSource("rotary", { "config.json": JSON.stringify(config) });
      const { model } = await fromPretrained(source, { device, head: "causalLm" });
      // A longer sequence in the batch changes the frequencies of the kind dynamic in the original: the longest is compared.
      const logits: Tensor = noGrad(() => model.forward(int32(tokens.slice(0, 1), device)));
      expectWithin(await logits.data(), tensors.get(kind)!.data, resultBound, kind);
      model.dispose();
    }
  });
});
