/** Loading: spellings of configurations, names, heads that are new, and everything that is an error. */
import { describe, expect, test } from "vitest";
import { openReference } from "../../src/device/reference/reference.js";
import { FileError } from "../../src/formats/file.js";
import { readSafetensors } from "../../src/formats/safetensors.js";
import { saveSafetensors, writeSafetensors } from "../../src/formats/safetensors_write.js";
import { noGrad, type Tensor } from "../../src/graph/tensor.js";
import { ConfigError, fileState, fromPretrained, type LoadProgress } from "../../src/models/index.js";
import { readLlamaConfig } from "../../src/models/llama/config.js";
import { architectureOf } from "../../src/models/registry.js";
import { StateDictError } from "../../src/nn/index.js";
import * as ops from "../../src/ops/index.js";
import "../../src/ops/methods.js";
import { expectedOf, fixtureConfig, fixtureSource } from "./fixture.js";

const device = openReference();

const withConfig = (name: string, changes: object) =>
  fixtureSource(name, { "config.json": JSON.stringify({ ...fixtureConfig(name), ...changes }) });

async function weightsOf(name: string) {
  return readSafetensors(await fixtureSource(name).read("model.safetensors")).tensors;
}

describe("config.json", () => {
  test("rotary positions: the spelling before version 5 of the original, and its frequencies", () => {
    const { facts } = expectedOf<{
      frequencies: { config: Record<string, unknown>; values: number[]; scale: number }[];
    }>("rotary");
    for (const { config, values, scale } of facts.frequencies) {
      const { rope_parameters, ...rest } = config;
      const { rope_theta, rope_type, ...scaling } = rope_parameters as Record<string, unknown>;
      const old = {
        ...rest,
        rope_theta,
        rope_scaling: rope_type === "default" ? null : { type: rope_type, ...scaling },
      };
      for (const spelling of [config, old]) {
        const { rotary } = readLlamaConfig(spelling);
        expect(rotary.scale).toBeCloseTo(scale, 6);
        expect(rotary.frequencies.length).toBe(values.length);
        rotary.frequencies.forEach((frequency, i) => {
          expect(Math.abs(frequency / values[i] - 1)).toBeLessThan(1e-5);
        });
      }
    }
  });

  test("GPT-2's other names", () => {
    const { n_positions, n_embd, n_layer, n_head, ...rest } = fixtureConfig("gpt2");
    const other = { max_position_embeddings: n_positions, hidden_size: n_embd, num_hidden_layers: n_layer };
    const read = (json: object) => architectureOf(json).readConfig(json);
    expect(read({ ...rest, ...other, num_attention_heads: n_head })).toEqual(read(fixtureConfig("gpt2")));
  });

  test.each([
    [
      "llama",
      "rope_parameters.rope_type",
      { rope_parameters: { rope_type: "longrope", rope_theta: 1e4 } },
      "yarn",
    ],
    ["llama", "rope_scaling.factor", { rope_parameters: null, rope_scaling: { type: "linear" } }, "a number"],
    ["llama", "hidden_act", { hidden_act: "mish" }, "silu"],
    ["llama", "partial_rotary_factor", { partial_rotary_factor: 0.5 }, "1"],
    ["llama", "num_key_value_heads", { num_key_value_heads: 3 }, "a divisor"],
    ["llama", "hidden_size", { hidden_size: "16" }, "an integer"],
    ["qwen2", "layer_types", { layer_types: ["full_attention", "chunked_attention"] }, "sliding_attention"],
    ["gpt2", "activation_function", { activation_function: "xielu" }, "gelu_new"],
    ["gpt2", "add_cross_attention", { add_cross_attention: true }, "false"],
    ["gpt2", "model_type", { model_type: "gptj" }, "gpt2"],
    ["bert_maskedLm", "position_embedding_type", { position_embedding_type: "relative_key" }, "absolute"],
    ["bert_maskedLm", "is_decoder", { is_decoder: true }, "false"],
    ["bert_maskedLm", "architectures[0]", { architectures: ["BertLMHeadModel"] }, "maskedLm"],
  ])("%s: an unsupported %s is an error that names it", async (name, key, changes, accepted) => {
    const error = await fromPretrained(withConfig(name, changes), { device }).catch(
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).key).toBe(key);
    expect((error as ConfigError).accepted).toContain(accepted);
    expect((error as Error).message).toContain(key);
  });
});

describe("names", () => {
  test("files without the model's prefix, with a mask and with the head under its own name", async () => {
    const tensors = await weightsOf("gpt2");
    const changed = [...tensors].map(([name, tensor]) => [name.replace("transformer.", ""), tensor] as const);
    const mask = { dtype: "uint8", shape: [1, 1, 4, 4], data: new Uint8Array(16) } as const;
    const wte = tensors.get("transformer.wte.weight")!;
    const file = writeSafetensors([...changed, ["h.0.attn.bias", mask], ["lm_head.weight", wte]]);
    const { model, report } = await fromPretrained(fixtureSource("gpt2", { "model.safetensors": file }), {
      device,
    });
    expect(report).toEqual({ initialised: [], ignored: ["h.0.attn.bias"] });
    const { facts, tensors: expected } = expectedOf("gpt2");
    const tokens = ops.tensor(Int32Array.from(facts.tokens[0]), { shape: [1, 12], device });
    const logits: Tensor = noGrad(() => model.forward(tokens));
    const values = await logits.data();
    for (const [i, value] of values.entries()) {
      expect(Math.abs(value - expected.get("logits")!.data[i])).toBeLessThan(1e-4);
    }
  });

  test("gamma and beta of older files", async () => {
    const tensors = await weightsOf("bert_sequence");
    const old = [...tensors].map(([name, tensor]) => {
      const spelling = name
        .replace("LayerNorm.weight", "LayerNorm.gamma")
        .replace("LayerNorm.bias", "LayerNorm.beta");
      return [spelling, tensor] as const;
    });
    const source = fixtureSource("bert_sequence", { "model.safetensors": writeSafetensors(old) });
    expect((await fromPretrained(source, { device })).report).toEqual({ initialised: [], ignored: [] });
  });

  test.each(["gpt2", "smollm2", "bert_maskedLm", "roberta_sequence", "distilbert_question"])(
    "%s is saved as it was loaded",
    async (name) => {
      const { model } = await fromPretrained(fixtureSource(name), { device });
      const chunks: Uint8Array[] = [];
      const target = new WritableStream<Uint8Array>({ write: (chunk) => void chunks.push(chunk.slice()) });
      await saveSafetensors(target, fileState(model));
      const saved = readSafetensors(
        new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer()),
      ).tensors;
      const original = await weightsOf(name);
      expect([...saved.keys()].toSorted()).toEqual([...original.keys()].toSorted());
      for (const [key, { shape, data }] of original) {
        expect(saved.get(key)!.shape, key).toEqual(shape);
        expect(Array.from(saved.get(key)!.data), key).toEqual(Array.from(data));
      }
    },
  );
});

describe("heads", () => {
  test("a head that the file lacks gets initial values and is reported", async () => {
    const source = fixtureSource("bert_maskedLm");
    const { model, report, config } = await fromPretrained(source, {
      device,
      head: "sequence",
      numLabels: 5,
    });
    expect(report.initialised.toSorted()).toEqual([
      "bert.pooler.dense.bias",
      "bert.pooler.dense.weight",
      "classifier.bias",
      "classifier.weight",
    ]);
    expect(report.ignored.every((name) => name.startsWith("cls."))).toBe(true);
    expect(config.labels).toEqual(["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3", "LABEL_4"]);
    const logits: Tensor = model.forward(ops.tensor(Int32Array.of(5, 6), { shape: [1, 2], device }));
    expect(logits.shape).toEqual([1, 5]);
    const weight = await model.stateDict().get("bert.pooler.dense.weight")!.data();
    const squares = Array.from(weight, (value) => value ** 2);
    const deviation = Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / weight.length);
    expect(deviation).toBeGreaterThan(0.015);
    expect(deviation).toBeLessThan(0.025);
  });

  test("other numbers of classes: an error, or a new head", async () => {
    const source = fixtureSource("roberta_tokens");
    await expect(fromPretrained(source, { device, numLabels: 7 })).rejects.toThrow(StateDictError);
    const { report } = await fromPretrained(source, { device, numLabels: 7, ignoreMismatched: true });
    expect(report.initialised.toSorted()).toEqual(["classifier.bias", "classifier.weight"]);
  });

  test("a head that the family does not have", async () => {
    await expect(fromPretrained(fixtureSource("gpt2"), { device, head: "question" })).rejects.toThrow(
      /gpt2 has no head question.*causalLm/,
    );
  });
});

describe("files", () => {
  test("missing and unknown tensors are known before any is read", async () => {
    const tensors = new Map(await weightsOf("llama"));
    tensors.delete("model.norm.weight");
    tensors.set("model.layers.7.mlp.up_proj.weight", tensors.get("lm_head.weight")!);
    const before = device.memory().liveBuffers;
    const source = fixtureSource("llama", { "model.safetensors": writeSafetensors(tensors) });
    const error = await fromPretrained(source, { device }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(StateDictError);
    expect((error as StateDictError).missing).toEqual(["model.norm.weight"]);
    expect((error as StateDictError).unexpected).toEqual(["model.layers.7.mlp.up_proj.weight"]);
    expect(device.memory().liveBuffers).toBe(before);
  });

  test("no weights, no JSON", async () => {
    const empty = fixtureSource("llama", { "model.safetensors": undefined });
    await expect(fromPretrained(empty, { device })).rejects.toThrow(FileError);
    await expect(fromPretrained(empty, { device })).rejects.toThrow(
      /model.safetensors.index.json nor model.safetensors/,
    );
    const broken = fixtureSource("llama", { "config.json": "{" });
    await expect(fromPretrained(broken, { device })).rejects.toThrow(/llama\/config.json is no JSON/);
  });

  test("progress: the events of each file, of all, and of tensors, which never fall", async () => {
    const events: LoadProgress[] = [];
    await fromPretrained(fixtureSource("smollm2_bf16"), {
      device,
      onProgress: (event) => events.push(event),
    });
    const files = new Set(events.map(({ file }) => file));
    files.delete("");
    expect(files.size).toBeGreaterThan(3);
    for (const file of files) {
      const statuses = events.filter((event) => event.file === file).map(({ status }) => status);
      expect(statuses, file).toEqual(["initiate", "download", "progress", "done"]);
    }
    const total = events.filter(({ status }) => status === "progress_total").at(-1)!;
    expect(total.loaded).toBe(total.total);
    expect(Object.keys(total.files!).toSorted()).toEqual([...files].toSorted());
    const tensors = events.filter(({ status }) => status === "tensor");
    expect(tensors.at(-1)).toMatchObject({ progress: 100, stage: "load" });
    const loaded = tensors.map((event) => event.loaded);
    expect(loaded).toEqual(loaded.toSorted((a, b) => a - b));
    expect(events.at(-1)).toMatchObject({ status: "ready", file: "", progress: 100 });
  });

  test("settings of generation: of their own file, or of config.json", async () => {
    const of = async (changes: Record<string, string>) =>
      (await fromPretrained(fixtureSource("llama", changes), { device })).generationConfig;
    expect(await of({})).toEqual({ bos_token_id: 0, eos_token_id: 2, pad_token_id: 1 });
    const own = { eos_token_id: [3, 4], top_k: 9 };
    expect(await of({ "generation_config.json": JSON.stringify(own) })).toEqual(own);
  });

  test("an aborted load leaves nothing on the device", async () => {
    const controller = new AbortController();
    const before = device.memory().liveBuffers;
    const onProgress = ({ status, loaded }: LoadProgress) => {
      if (status === "tensor" && loaded > 5000) controller.abort();
    };
    await expect(
      fromPretrained(fixtureSource("llama"), { device, signal: controller.signal, onProgress }),
    ).rejects.toThrow(/abort/i);
    expect(device.memory().liveBuffers).toBe(before);
  });
});
