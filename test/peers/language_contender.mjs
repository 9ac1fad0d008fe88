/**
 * One side of language.mjs as a process of its own. Arguments: library, model, weights. Lines of JSON: {"do": "prefill" | "decode" | "at" |
 * "read", "count"} in, {"ms"} of processor time, {"wallMs"} out; {"ready", "loadMs", "bytes"} comes first.
 */
import { readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { loadSource } from "./source.mjs";

const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const [library, name, weights, folder] = process.argv.slice(2);
const prompt = (count) => Int32Array.from({ length: count }, (_, i) => 5 + ((i * 131) % 40_000));

const configs = {
  gpt2: { model_type: "gpt2", vocab_size: 50257, n_positions: 1024, n_embd: 768, n_layer: 12, n_head: 12 },
  smollm2: {
    ...{ model_type: "llama", vocab_size: 49152, hidden_size: 576, intermediate_size: 1536, num_hidden_layers: 30 },
    ...{ num_attention_heads: 9, num_key_value_heads: 3, max_position_embeddings: 8192, rms_norm_eps: 1e-5 },
    ...{ rope_theta: 100000, tie_word_embeddings: true, hidden_act: "silu" },
  },
};

async function openWattgrad() {
  const { index, quantization, architectures, session } = await loadSource(
    undefined,
    `export * as index from "./src/index.ts";
     export * as quantization from "./src/quantization/index.ts";
     export * as session from "./src/generation/session.ts";
     import { gpt2 } from "./src/models/gpt2/gpt2.ts";
     import { llama } from "./src/models/llama/llama.ts";
     export const architectures = { gpt2, smollm2: llama };`,
  );
  const { int8Dynamic, int8WeightOnly, int4WeightOnly } = quantization;
  const schemes = {
    int8: int8Dynamic(),
    "int8, 7 bits": int8Dynamic({ weightBits: 7 }),
    "int8 weights": int8WeightOnly(),
    int4: int4WeightOnly(),
  };
  const device = await index.openDevice("wasm");
  const architecture = architectures[name];
  const model = architecture.build(architecture.readConfig(configs[name]), "causalLm", { device });
  if (weights !== "f32") await quantization.quantize(model, schemes[weights]);
  // Read with each token: all but the tables of tokens and positions; a tied head counts as the head.
  let bytes = 0;
  for (const [key, { size, dtype }] of model.stateDict()) {
    if (!/(wte|wpe|embed_tokens)/.test(key)) bytes += size * (dtype === "int8" ? 1 : 4);
  }
  let current;
  const open = (capacity) => {
    current?.dispose();
    current = new session.DecodeSession(model, device, 1, capacity);
  };
  const block = index.zeros([2 ** 25], { device }).realize();
  const sum = index.jit((x) => index.sum(x));
  const prefill = async (count) => {
    const ids = prompt(count);
    for (let at = 0; at < count; at += 128) {
      const part = new Int32Array(128);
      part.set(ids.subarray(at, at + 128));
      await current.step(part, [Math.min(128, count - at)], "best");
    }
  };
  const decode = async (count) => {
    for (let i = 0; i < count; i++) await current.step(Int32Array.of(7 + i), [1], "best");
  };
  open(256);
  await prefill(128);
  return {
    bytes,
    prefill: async (count) => {
      open(256);
      return () => prefill(count);
    },
    decode: async (count) => () => decode(count),
    // 4 tokens behind `count` others.
    at: async (count) => {
      open(2048);
      await prefill(count);
      await decode(1);
      return () => decode(4);
    },
    read: async () => () => sum(block).data(),
  };
}

async function openOnnx() {
  const require = createRequire(`${folder}/`);
  Object.defineProperty(globalThis, "Worker", { get: () => undefined, set: () => {} });
  const ort = require("onnxruntime-web");
  ort.env.wasm.numThreads = 1;
  const file = process.argv[6];
  const run = await ort.InferenceSession.create(new Uint8Array(readFileSync(file)), { executionProviders: ["wasm"] });
  const [layers, heads, head] = [12, 12, 64];
  let past;
  const empty = () => {
    past = {};
    for (let i = 0; i < layers; i++) {
      for (const part of ["key", "value"]) {
        past[`past_${part}_${i}`] = new ort.Tensor("float32", new Float32Array(0), [1, heads, 0, head]);
      }
    }
  };
  const step = async (ids) => {
    const before = past.past_key_0.dims[2];
    const [t, s] = [ids.length, before + ids.length];
    const mask = new Float32Array(t * s);
    for (let i = 0; i < t; i++) for (let j = before + i + 1; j < s; j++) mask[i * s + j] = -1e9;
    const long = (values) => new ort.Tensor("int64", BigInt64Array.from(values, (v) => BigInt(v)), [1, t]);
    const results = await run.run({
      ...past,
      input_ids: long(ids),
      position_ids: long(Array.from(ids, (_, i) => before + i)),
      mask: new ort.Tensor("float32", mask, [t, s]),
    });
    for (let i = 0; i < layers; i++) {
      for (const part of ["key", "value"]) past[`past_${part}_${i}`] = results[`${part}_${i}`];
    }
    const { data } = results.logits;
    return data.reduce((best, value, id) => (value > data[best] ? id : best), 0);
  };
  empty();
  await step(prompt(128));
  return {
    bytes: statSync(file).size,
    prefill: async (count) => {
      empty();
      return () => step(prompt(count));
    },
    decode: async (count) => async () => {
      for (let i = 0; i < count; i++) await step([7 + i]);
    },
  };
}

const begin = performance.now();
try {
  const { bytes, ...tasks } = await (library === "wattgrad" ? openWattgrad() : openOnnx());
  say({ ready: true, loadMs: performance.now() - begin, bytes });
  for await (const line of createInterface({ input: process.stdin })) {
    const { do: task, count } = JSON.parse(line);
    const work = await tasks[task](count);
    const before = process.cpuUsage();
    const start = performance.now();
    await work();
    const wallMs = performance.now() - start;
    const { user, system } = process.cpuUsage(before);
    say({ ms: (user + system) / 1e3, wallMs, peakMB: process.resourceUsage().maxRSS / 1e3 });
  }
} catch (error) {
  say({ error: String(error?.stack ?? error).slice(0, 400) });
}
