/** Weights that are quantized while they are read: the same bits as `quantize` afterwards, and hardly more memory than they take. */
import { describe, expect, it } from "vitest";
import { openReference } from "../../src/device/reference/reference.js";
import { openWasm } from "../../src/device/wasm/wasm.js";
import { writeSafetensors } from "../../src/formats/safetensors_write.js";
import { files } from "../../src/hub/index.js";
import { noGrad, OutOfMemoryError, tensor } from "../../src/index.js";
import { fileState, fromPretrained, type LoadProgress } from "../../src/models/index.js";
import type { Module } from "../../src/nn/index.js";
import {
  bfloat16WeightOnly,
  float16WeightOnly,
  int4WeightOnly,
  int8Dynamic,
  int8Static,
  int8WeightOnly,
  QuantizedLayer,
  quantize,
} from "../../src/quantization/index.js";
import { readTensor } from "../../src/runtime/host_data.js";
import { fixtureSource } from "./fixture.js";

const device = await openWasm();

const schemes = {
  int8Dynamic: int8Dynamic(),
  "7 bits": int8Dynamic({ weightBits: 7 }),
  int8WeightOnly: int8WeightOnly(),
  int4WeightOnly: int4WeightOnly(),
  "int4WeightOnly, asymmetric": int4WeightOnly({ asymmetric: true }),
  float16WeightOnly: float16WeightOnly(),
  bfloat16WeightOnly: bfloat16WeightOnly(),
};

async function bitsOf(model: Module): Promise<Map<string, unknown>> {
  const bits = new Map<string, unknown>();
  for (const [name, value] of model.stateDict()) {
    const { buffer } = await readTensor(value);
    bits.set(name, [value.dtype, value.shape, Buffer.from(buffer as ArrayBuffer).toString("hex")]);
  }
  return bits;
}

describe.each(Object.entries(schemes))("%s", (_, quantization) => {
  it.each(["gpt2", "llama", "smollm2", "smollm2_bf16", "bert_maskedLm", "distilbert_tokens"])(
    "%s has the bits of quantize(model)",
    async (name) => {
      const source = fixtureSource(name);
      const { model: float } = await fromPretrained(source, { device });
      await quantize(float, quantization);
      const { model, report } = await fromPretrained(source, { device, quantization });
      expect(report).toEqual({ initialised: [], ignored: [] });
      expect(await bitsOf(model)).toEqual(await bitsOf(float));
      float.dispose();
      model.dispose();
    },
  );
});

it("a head that the file lacks is quantized as well", async () => {
  const { model, report } = await fromPretrained(fixtureSource("bert_maskedLm"), {
    ...{ device, head: "sequence", numLabels: 3, quantization: int8Dynamic() },
  });
  expect(report.initialised).toContain("classifier.weight");
  const ids = tensor([[5, 6]], { dtype: "int32", device });
  expect(noGrad(() => model.forward(ids)).shape).toEqual([1, 3]);
  expect(() => fileState(model)).toThrow(/not loaded/);
});

it("a scheme with calibration has a way out", async () => {
  const scheme = int8Static({ data: [] });
  await expect(fromPretrained(fixtureSource("gpt2"), { device, quantization: scheme })).rejects.toThrow(
    /int8Static calibrates.*load it without/,
  );
});

/** A Llama whose float32 file has 42 MB. */
const config = {
  ...{ model_type: "llama", architectures: ["LlamaForCausalLM"], hidden_size: 512, intermediate_size: 1536 },
  ...{ num_hidden_layers: 3, num_attention_heads: 8, num_key_value_heads: 4, vocab_size: 2000 },
  ...{ max_position_embeddings: 256, tie_word_embeddings: true, hidden_act: "silu", rms_norm_eps: 1e-5 },
};

function generated() {
  const [width, inner] = [config.hidden_size, config.intermediate_size];
  const shapes: Record<string, number[]> = {
    "model.embed_tokens.weight": [config.vocab_size, width],
    "model.norm.weight": [width],
  };
  for (let i = 0; i < config.num_hidden_layers; i++) {
    Object.assign(shapes, {
      [`model.layers.${i}.input_layernorm.weight`]: [width],
      [`model.layers.${i}.post_attention_layernorm.weight`]: [width],
      [`model.layers.${i}.self_attn.q_proj.weight`]: [width, width],
      [`model.layers.${i}.self_attn.k_proj.weight`]: [width / 2, width],
      [`model.layers.${i}.self_attn.v_proj.weight`]: [width / 2, width],
      [`model.layers.${i}.self_attn.o_proj.weight`]: [width, width],
      [`model.layers.${i}.mlp.gate_proj.weight`]: [inner, width],
      [`model.layers.${i}.mlp.up_proj.weight`]: [inner, width],
      [`model.layers.${i}.mlp.down_proj.weight`]: [width, inner],
    });
  }
  let state = 1;
  const values = Object.entries(shapes).map(([name, shape]) => {
    const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      return state / 2 ** 36;
    });
    return [name, { dtype: "float32", shape, data }] as const;
  });
  return files(
    new Map([
      ["config.json", new TextEncoder().encode(JSON.stringify(config))],
      ["model.safetensors", writeSafetensors(new Map(values))],
    ]),
  );
}

describe("a Llama of 42 MB", () => {
  const source = generated();

  it.each([
    ["float32", undefined],
    ["int8", int8WeightOnly()],
    ["int4", int4WeightOnly()],
  ])("%s peaks on the device at what it takes in the end", async (_, quantization) => {
    const own = await openWasm();
    const { model } = await fromPretrained(source, { device: own, ...(quantization && { quantization }) });
    const { peakBytes, liveBytes } = own.memory();
    expect(peakBytes / liveBytes).toBeLessThan(1.01);
    for (const [name, module] of model.namedModules()) {
      if (name.endsWith("_proj")) expect(module instanceof QuantizedLayer).toBe(quantization !== undefined);
    }
    own.close();
  });

  it("tells how far it is, tensors that are rounded with their stage", async () => {
    const events: LoadProgress[] = [];
    const onProgress = (event: LoadProgress) => events.push(event);
    await fromPretrained(source, { device, quantization: int8WeightOnly(), onProgress });
    const tensors = events.filter(({ status }) => status === "tensor");
    const stageOf = (name: string) => tensors.find((event) => event.tensor === name)?.stage;
    expect(stageOf("model.layers.1.mlp.up_proj.weight")).toBe("quantize");
    expect(stageOf("model.norm.weight")).toBe("load");
  });

  it("is refused before a weight is read where it does not fit; quantized it does", async () => {
    const small = await openWasm({ maximumBytes: 24 * 2 ** 20 });
    const reads: string[] = [];
    const watched = {
      ...source,
      read: (path: string, range?: { start: number; end: number }) => {
        reads.push(`${path} ${range?.start}`);
        return source.read(path, range);
      },
    };
    await expect(fromPretrained(watched, { device: small })).rejects.toThrow(OutOfMemoryError);
    await expect(fromPretrained(watched, { device: small })).rejects.toThrow(
      /the weights take 39\.\d MiB on wasm, which has 24\.0 MiB.*int8WeightOnly/,
    );
    // Configuration, and the header in two reads.
    expect(new Set(reads).size).toBeLessThanOrEqual(3);
    const { model } = await fromPretrained(watched, { device: small, quantization: int8WeightOnly() });
    expect(small.memory().liveBytes).toBeLessThan(20e6);
    model.dispose();
  });

  it("what ends in the midst leaves nothing on the device", async () => {
    const controller = new AbortController();
    const own = openReference();
    const onProgress = ({ status, loaded }: LoadProgress) => {
      if (status === "tensor" && loaded > 20e6) controller.abort(new Error("enough"));
    };
    const { signal } = controller;
    await expect(
      fromPretrained(source, { device: own, quantization: int8WeightOnly(), onProgress, signal }),
    ).rejects.toThrow("enough");
    expect(own.memory().liveBuffers).toBe(0);
  });
});
