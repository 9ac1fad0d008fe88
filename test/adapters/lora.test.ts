/** Adapters: results against peft (test/fixtures/make_adapters.py), and wattgrad's own guarantees. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AdapterSources, loadAdapter, lora, saveAdapter } from "../../src/adapters/index.js";
import type { Device } from "../../src/device/device.js";
import { readSafetensors, writeSafetensors } from "../../src/formats/index.js";
import { crossEntropy, jit, memory, type Tensor, tanh, tensor } from "../../src/index.js";
import { Linear, Module } from "../../src/nn/index.js";
import { AdamW } from "../../src/optim/index.js";
import { int4WeightOnly, int8Dynamic, quantize } from "../../src/quantization/index.js";
import { hostTensors } from "../../src/train/index.js";
import { devices, reference } from "../devices.js";

interface PeftAdapter {
  readonly config: string;
  /** A safetensors file in base64. */
  readonly weights: string;
  readonly output: readonly number[];
  /** Of AdamW, lr 0.02, on one batch. */
  readonly losses: readonly number[];
  readonly trainedOutput: readonly number[];
}

const fixture = JSON.parse(readFileSync(new URL("../fixtures/adapters.json", import.meta.url), "utf8")) as {
  readonly base: Record<string, { readonly shape: number[]; readonly data: number[] }>;
  readonly x: number[];
  readonly labels: number[];
  readonly output: number[];
  readonly adapters: Record<"plain" | "stabilized" | "patterns", PeftAdapter>;
};

class Block extends Module<[Tensor], Tensor> {
  readonly qProj: Linear;
  readonly vProj: Linear;

  constructor(width: number, device: Device) {
    super();
    this.qProj = new Linear(width, width, { bias: false, device });
    this.vProj = new Linear(width, 2 * width, { device });
  }

  forward(x: Tensor): Tensor {
    return tanh(this.vProj.forward(tanh(this.qProj.forward(x))));
  }
}

/** The network of make_adapters.py. */
class Net extends Module<[Tensor], Tensor> {
  readonly layers: Block[];
  readonly classifier: Linear;

  constructor(device: Device) {
    super();
    this.layers = [new Block(8, device), new Block(16, device)];
    this.classifier = new Linear(32, 3, { device });
  }

  forward(x: Tensor): Tensor {
    return this.classifier.forward(this.layers.reduce((y, layer) => layer.forward(y), x));
  }
}

async function network(device: Device): Promise<Net> {
  const net = new Net(device);
  const state = Object.entries(fixture.base).map(
    ([name, { shape, data }]) => [name, { dtype: "float32", shape, data: Float32Array.from(data) }] as const,
  );
  await net.loadStateDict(new Map(state));
  return net;
}

const inputOf = (device: Device) => tensor(Float32Array.from(fixture.x), { shape: [4, 8], device });
const labelsOf = (device: Device) => tensor(Int32Array.from(fixture.labels), { device });
const outputOf = async (net: Module, device: Device) => [...(await net.forward(inputOf(device)).data())];

function filesOf({ config, weights }: PeftAdapter): AdapterSources {
  return { config: new TextEncoder().encode(config), weights: Buffer.from(weights, "base64") };
}

/** Largest difference. */
function distance(a: readonly number[], b: readonly number[]): number {
  expect(a.length).toBe(b.length);
  return Math.max(...a.map((value, i) => Math.abs(value - b[i])));
}

const names = ["plain", "stabilized", "patterns"] as const;

describe.each(devices)("adapters on $label", ({ device }) => {
  it("loads the network", async () => {
    expect(distance(await outputOf(await network(device), device), fixture.output)).toBeLessThan(2e-6);
  });

  it.each(names)("computes what peft computes: %s", async (name) => {
    const peft = fixture.adapters[name];
    const net = await network(device);
    const adapter = await loadAdapter(net, filesOf(peft));
    expect(distance(await outputOf(net, device), peft.output)).toBeLessThan(4e-6);
    adapter.enabled = false;
    if (name !== "patterns") {
      expect(distance(await outputOf(net, device), fixture.output)).toBeLessThan(2e-6);
    }
    adapter.enabled = true;
    adapter.merge();
    expect(adapter.merged).toBe(true);
    expect(distance(await outputOf(net, device), peft.output)).toBeLessThan(4e-6);
  });

  it.each(names)("trains as PyTorch with peft: %s", async (name) => {
    const peft = fixture.adapters[name];
    const net = await network(device);
    const adapter = await loadAdapter(net, filesOf(peft));
    const optimizer = new AdamW(adapter.parameters(), { lr: 0.02, weightDecay: 0.01 });
    const [x, labels] = [inputOf(device), labelsOf(device)];
    const step = jit((batch: Tensor) => {
      const loss = crossEntropy(net.forward(batch), labels);
      loss.backward();
      optimizer.step();
      return loss;
    });
    const losses: number[] = [];
    for (const _ of peft.losses) losses.push(await step(x).item());
    expect(distance(losses, peft.losses)).toBeLessThan(2e-5);
    expect(distance(await outputOf(net, device), peft.trainedOutput)).toBeLessThan(2e-4);
    adapter.merge();
    expect(distance(await outputOf(net, device), peft.trainedOutput)).toBeLessThan(2e-4);
  });

  it("changes nothing before it is trained, and trains only the adapter", async () => {
    const net = await network(device);
    const before = await outputOf(net, device);
    const adapter = lora(net, { targets: /proj$/, rank: 2 });
    expect(await outputOf(net, device)).toEqual(before);
    expect(adapter.parameters().length).toBe(8);
    expect(net.parameters().filter(({ requiresGrad }) => requiresGrad)).toEqual(adapter.parameters());
    // A [2, in] and B [out, 2] of 8→8, 8→16, 16→16, 16→32.
    expect(adapter.parameterCount()).toBe(2 * (8 + 8 + 8 + 16 + 16 + 16 + 16 + 32));
    expect([...net.stateDict().keys()]).toContain("layers.0.q_proj.lora_A.weight");
    for (const name of Object.keys(fixture.base)) expect(net.stateDict().has(name)).toBe(true);
  });

  it("takes the update in and out of the weight within a unit in the last place", async () => {
    const net = await network(device);
    const { weight } = net.layers[1].vProj;
    const adapter = await loadAdapter(net, filesOf(fixture.adapters.plain));
    const read = async () => [...(await weight.data())];
    const before = await read();
    adapter.merge();
    const sum = await read();
    adapter.merge();
    expect(await read()).toEqual(sum);
    adapter.unmerge();
    const after = await read();
    const ulp = (value: number) => 2 ** (Math.floor(Math.log2(Math.abs(value))) - 23);
    before.forEach((value, i) => {
      const largest = Math.max(Math.abs(sum[i]), Math.abs(value));
      expect(Math.abs(after[i] - value)).toBeLessThanOrEqual(ulp(largest));
    });
  });

  it("leaves the model as it was when it is removed", async () => {
    const net = await network(device);
    net.classifier.freeze();
    const [before, trainable] = [await outputOf(net, device), net.parameters().map((p) => p.requiresGrad)];
    const keys = [...net.stateDict().keys()];
    const { liveBuffers } = memory(device);
    const adapter = lora(net, { targets: ["q_proj"] });
    adapter.remove();
    expect(memory(device).liveBuffers).toBeLessThanOrEqual(liveBuffers);
    expect(await outputOf(net, device)).toEqual(before);
    expect(net.parameters().map((p) => p.requiresGrad)).toEqual(trainable);
    expect([...net.stateDict().keys()]).toEqual(keys);
  });

  it.each([
    ["int8", () => int8Dynamic(), 0.02],
    ["int4", () => int4WeightOnly({ groupSize: 32 }), 0.2],
  ] as const)("learns beside quantized weights: %s", async (_, scheme, tolerance) => {
    const net = await network(device);
    await quantize(net, scheme(), { filter: (name) => name.endsWith("Proj") || name.endsWith("proj") });
    const adapter = await loadAdapter(net, filesOf(fixture.adapters.plain));
    const { output, losses } = fixture.adapters.plain;
    expect(distance(await outputOf(net, device), output)).toBeLessThan(tolerance);
    expect(() => adapter.merge()).toThrow(/quantized weight/);
    const optimizer = new AdamW(adapter.parameters(), { lr: 0.02, weightDecay: 0.01 });
    const [x, labels] = [inputOf(device), labelsOf(device)];
    const got: number[] = [];
    for (const __ of losses) {
      const loss = crossEntropy(net.forward(x), labels);
      loss.backward();
      optimizer.step();
      got.push(await loss.item());
    }
    expect(got.at(-1)!).toBeLessThan(got[0]);
    expect(distance(got, losses)).toBeLessThan(tolerance);
  });

  it("is seen by a jitted function when it is merged or turned off", async () => {
    const net = await network(device);
    const adapter = await loadAdapter(net, filesOf(fixture.adapters.plain));
    const x = inputOf(device);
    const run = jit((batch: Tensor) => net.forward(batch));
    const read = async () => [...(await run(x).data())];
    await read();
    expect(distance(await read(), fixture.adapters.plain.output)).toBeLessThan(4e-6);
    adapter.enabled = false;
    expect(distance(await read(), fixture.output)).toBeLessThan(2e-6);
    adapter.enabled = true;
    adapter.merge();
    expect(distance(await read(), fixture.adapters.plain.output)).toBeLessThan(4e-6);
  });
});

describe("files of adapters", () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "adapters-"));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it.each(names)("writes what peft wrote: %s", async (name) => {
    const { config, weights } = fixture.adapters[name];
    const net = await network(reference);
    const adapter = await loadAdapter(net, filesOf(fixture.adapters[name]));
    const folder = join(directory, name, "deep");
    await saveAdapter(adapter, folder, { taskType: "SEQ_CLS" });
    const written = JSON.parse(readFileSync(join(folder, "adapter_config.json"), "utf8"));
    const wanted = JSON.parse(config);
    for (const key of ["peft_type", "r", "lora_alpha", "use_rslora", "bias", "modules_to_save", "use_dora"]) {
      expect(written[key]).toEqual(wanted[key]);
    }
    expect(written.task_type).toBe("SEQ_CLS");
    const got = readSafetensors(readFileSync(join(folder, "adapter_model.safetensors")));
    const want = readSafetensors(Buffer.from(weights, "base64"));
    expect(got.metadata.format).toBe("pt");
    expect([...got.tensors.keys()].sort()).toEqual([...want.tensors.keys()].sort());
    for (const [key, { data, shape }] of want.tensors) {
      expect(got.tensors.get(key)!.shape).toEqual(shape);
      expect(got.tensors.get(key)!.data).toEqual(data);
    }
    const again = await network(reference);
    await loadAdapter(again, folder);
    expect(await outputOf(again, reference)).toEqual(await outputOf(net, reference));
  });

  it("writes to streams", async () => {
    const net = await network(reference);
    const adapter = lora(net, { targets: ["v_proj"] });
    const parts: Record<string, Uint8Array[]> = { config: [], weights: [] };
    const stream = (name: string) =>
      new WritableStream<Uint8Array>({ write: (bytes) => void parts[name].push(bytes) });
    await saveAdapter(adapter, { config: stream("config"), weights: stream("weights") });
    const again = await network(reference);
    const [config, weights] = [Buffer.concat(parts.config), Buffer.concat(parts.weights)];
    expect((await loadAdapter(again, { config, weights })).layers.size).toBe(2);
  });

  it("finds layers under another prefix", async () => {
    const peft = fixture.adapters.plain;
    const { tensors } = readSafetensors(Buffer.from(peft.weights, "base64"));
    const renamed = [...tensors].map(
      ([key, value]) => [key.replace("base_model.model.", "base_model.model.bert."), value] as const,
    );
    const net = await network(reference);
    const [config] = [new TextEncoder().encode(peft.config)];
    await loadAdapter(net, { config, weights: writeSafetensors(renamed) });
    expect(distance(await outputOf(net, reference), peft.output)).toBeLessThan(4e-6);
  });

  it.each([
    ["a kind that is not LoRA", { peft_type: "IA3" }, /peft_type is "IA3" \(LORA is supported\)/],
    ["DoRA", { use_dora: true }, /use_dora is true \(false is supported\)/],
    ["trained biases", { bias: "all" }, /bias is "all"/],
    ["no rank", { r: 0 }, /r is 0/],
    ["another rank", { r: 4 }, /lora_A of "layers\.0\.q_proj" is \[3, 8\].*need \[4, 8\]/],
    ["a bad pattern", { rank_pattern: { "(": 3 } }, /no regular expression/],
  ])("refuses %s and leaves the model alone", async (_, change, message) => {
    const peft = fixture.adapters.plain;
    const config = JSON.stringify({ ...JSON.parse(peft.config), ...change });
    const net = await network(reference);
    await expect(loadAdapter(net, filesOf({ ...peft, config }))).rejects.toThrow(message);
    expect(net.parameters().every(({ requiresGrad }) => requiresGrad)).toBe(true);
    expect([...net.stateDict().keys()]).toEqual(Object.keys(fixture.base));
  });

  it("refuses files that do not fit the model", async () => {
    const peft = fixture.adapters.plain;
    const { tensors } = readSafetensors(Buffer.from(peft.weights, "base64"));
    const loaded = async (change: (key: string) => string | undefined) => {
      const renamed = [...tensors].flatMap(([key, value]) => {
        const name = change(key);
        return name === undefined ? [] : [[name, value] as const];
      });
      const { config } = filesOf(peft);
      return loadAdapter(await network(reference), { config, weights: writeSafetensors(renamed) });
    };
    await expect(loaded((key) => key.replace("q_proj", "k_proj"))).rejects.toThrow(
      /no linear layer "layers\.0\.k_proj"/,
    );
    await expect(loaded((key) => (key.includes("lora_B") ? undefined : key))).rejects.toThrow(/no lora_B/);
    await expect(loaded((key) => key.replace("lora_A", "lora_embedding_A"))).rejects.toThrow(/not supported/);
    await expect(loaded(() => undefined)).rejects.toThrow(/no lora_A and lora_B/);
    writeFileSync(join(directory, "adapter_config.json"), "<html>");
    await expect(loadAdapter(await network(reference), directory)).rejects.toThrow(/no JSON/);
    await expect(loadAdapter(await network(reference), join(directory, "missing"))).rejects.toThrow(
      /does not exist/,
    );
  });

  it("refuses wrong arguments in a sentence", async () => {
    const net = await network(reference);
    expect(() => lora(net, { targets: ["k_proj"] })).toThrow(
      /no linear layer is among the targets k_proj \(the model has layers\.\*\.q_proj, layers\.\*\.v_proj, classifier\)/,
    );
    expect(() => lora(net, { targets: ["q_proj"], rank: 0 })).toThrow(
      /rank is an integer of at least 1, got 0/,
    );
    expect(() => lora(net, { targets: ["q_proj"], modulesToSave: ["head"] })).toThrow(/no module head/);
    expect(() => lora(net, {} as never)).toThrow(/targets is/);
    expect(net.parameters().every(({ requiresGrad }) => requiresGrad)).toBe(true);
    lora(net, { targets: ["q_proj"] });
    expect(() => lora(net, { targets: ["v_proj"] })).toThrow(/has an adapter already/);
  });

  it("does not merge into a tied weight", async () => {
    class Tied extends Module<[Tensor], Tensor> {
      readonly a = new Linear(4, 4, { device: reference });
      readonly b = new Linear(4, 4, { device: reference });
      forward(x: Tensor): Tensor {
        return this.b.forward(this.a.forward(x));
      }
    }
    const tied = new Tied();
    tied.b.weight = tied.a.weight;
    const adapter = lora(tied, { targets: ["a"] });
    expect(() => adapter.merge()).toThrow(/tied: a\.weight, b\.weight/);
  });

  it("cannot be used after it was removed: the base's parameters are not its own", async () => {
    const net = await network(reference);
    const adapter = lora(net, { targets: ["q_proj"] });
    adapter.remove();
    adapter.remove();
    for (const use of [() => adapter.parameters(), () => adapter.merge(), () => adapter.unmerge()]) {
      expect(use).toThrow(/the adapter was removed/);
    }
    expect(String(adapter)).toBe("LoraAdapter, removed");
  });

  it("is saved by checkpoints with its base", async () => {
    const net = await network(reference);
    lora(net, { targets: ["q_proj"] });
    expect((await hostTensors(net.stateDict())).size).toBe(Object.keys(fixture.base).length + 4);
  });
});
