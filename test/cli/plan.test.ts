/** wattgrad plan: exact counts of known architectures, published figures, and its output. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseConfig, type TransformerShape } from "../../src/cli/plan/config.js";
import { countTransformer } from "../../src/cli/plan/count.js";
import { plan } from "../../src/cli/plan/estimate.js";
import { hardware } from "../../src/cli/plan/hardware.js";
import { type Comparison, comparePublished } from "../../src/cli/plan/published.js";
import { Transformer } from "../../src/cli/plan/transformer.js";
import { FormatError } from "../../src/core/errors.js";
import { backward, noGrad, ones, zeros } from "../../src/index.js";
import { crossEntropy } from "../../src/nn/index.js";
import { cost, openDry } from "../../src/profile/index.js";
import { run } from "./wattgrad.js";

const configs = {
  gpt2: {
    model_type: "gpt2",
    n_layer: 12,
    n_embd: 768,
    n_head: 12,
    n_positions: 1024,
    vocab_size: 50257,
    n_inner: null,
  },
  bert: {
    model_type: "bert",
    num_hidden_layers: 12,
    hidden_size: 768,
    num_attention_heads: 12,
    intermediate_size: 3072,
    max_position_embeddings: 512,
    type_vocab_size: 2,
    vocab_size: 30522,
  },
  bloom: { model_type: "bloom", n_layer: 70, n_embed: 14336, num_attention_heads: 112, vocab_size: 250880 },
  llama2: {
    model_type: "llama",
    num_hidden_layers: 32,
    hidden_size: 4096,
    num_attention_heads: 32,
    intermediate_size: 11008,
    max_position_embeddings: 4096,
    vocab_size: 32000,
  },
  llama3: {
    model_type: "llama",
    num_hidden_layers: 32,
    hidden_size: 4096,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    intermediate_size: 14336,
    max_position_embeddings: 8192,
    vocab_size: 128256,
  },
  qwen2: {
    model_type: "qwen2",
    num_hidden_layers: 24,
    hidden_size: 896,
    num_attention_heads: 14,
    num_key_value_heads: 2,
    intermediate_size: 4864,
    max_position_embeddings: 32768,
    vocab_size: 151936,
    tie_word_embeddings: true,
  },
} as const;

const shapeOf = (name: keyof typeof configs): TransformerShape => parseConfig(JSON.stringify(configs[name]));

describe("exact counts", () => {
  // The number of parameters of the published weights.
  test.each([
    ["gpt2", 124_439_808],
    ["bert", 109_482_240],
    ["bloom", 176_247_271_424],
    ["llama2", 6_738_415_616],
    ["llama3", 8_030_261_248],
    ["qwen2", 494_032_768],
  ] as const)("%s has %d parameters", async (name, parameters) => {
    expect((await countTransformer(shapeOf(name), 16)).parameters).toBe(parameters);
  });

  test("products dominate, with the closed formula of GPT-2", async () => {
    const [layers, width, t, vocabulary] = [12, 768, 1024, 50257];
    const { forwardFlops, trainingFlops } = await countTransformer(shapeOf("gpt2"), t);
    const productsOf = (seen: number) =>
      t * (layers * (2 * 12 * width ** 2 + 4 * seen * width) + 2 * vocabulary * width);
    // Without a gradient a token's scores are those of the tokens before it and its own: half of them on average.
    const visible = productsOf((t + 1) / 2);
    expect(forwardFlops).toBeGreaterThan(visible);
    expect(forwardFlops).toBeLessThan(1.03 * visible);
    const products = productsOf(t);
    expect(trainingFlops).toBeGreaterThan(3 * products);
    expect(trainingFlops).toBeLessThan(1.03 * 3 * products);
  });

  test.each(["gpt2", "bert", "bloom", "llama3"] as const)(
    "what is extrapolated is what the whole model costs: %s",
    async (name) => {
      const length = 16;
      const size = { layers: 9, vocabulary: 3000, width: 32, heads: 4, headWidth: 8, feedForward: 48 };
      const original = shapeOf(name);
      const shape = { ...original, ...size, keyHeads: original.keyHeads === original.heads ? 4 : 2 };
      const counted = await countTransformer(shape, length);

      const device = openDry();
      const model = new Transformer(shape, device);
      const tokens = zeros([1, length], { device, dtype: "int32" });
      const targets = zeros([length], { device, dtype: "int32" });
      const start = ones([1, shape.width], { device });
      for (const each of [tokens, targets, start]) await each.data();
      const forward = await cost(device, () => noGrad(() => model.forward(tokens)));
      const training = await cost(device, () => {
        const output = model.forward(tokens);
        const isBert = name === "bert";
        const root = isBert ? output : crossEntropy(output.reshape([length, shape.vocabulary]), targets);
        backward(root, isBert ? { gradient: start } : {});
        return [root, ...model.parameters().flatMap(({ grad }) => grad ?? [])];
      });
      expect(counted.parameters).toBe(model.parameterCount());
      expect(counted.forwardFlops).toBe(forward.flops);
      expect(counted.trainingFlops).toBe(training.flops);
      const { arenaBytes } = training.programs[0].program;
      expect(training.programs).toHaveLength(1);
      expect(Math.abs(counted.activationBytes / arenaBytes - 1)).toBeLessThan(0.1);
    },
  );

  test("a sequence longer than the model's is refused", async () => {
    await expect(countTransformer(shapeOf("bert"), 513)).rejects.toThrow(/513 tokens .* 512/);
  });
});

describe("published figures", () => {
  let comparisons: Comparison[];
  beforeAll(async () => {
    comparisons = await comparePublished();
  });

  // GPT-3's FLOPs within 10 %, energies within 30 %; where more was published, closer.
  test.each([
    ["GPT-3 175B", "parameters, counted", 0.01],
    ["GPT-3 175B", "training, 6·N·D", 0.1],
    ["GPT-3 175B", "training, counted", 0.1],
    ["GPT-3 175B", "time on 10,000 V100", 0.1],
    ["GPT-3 175B", "energy", 0.3],
    ["GPT-3 175B", "CO2e", 0.3],
    ["BERT-base", "parameters, counted", 0.01],
    ["BERT-base", "forward of 128 tokens, counted", 0.05],
    ["BERT-base", "training, 6·N·D", 0.1],
    ["BLOOM 176B", "parameters, counted", 0.001],
    ["BLOOM 176B", "accelerator hours", 0.3],
    ["BLOOM 176B", "energy", 0.3],
    ["BLOOM 176B", "CO2e of the energy", 0.3],
  ])("%s: %s", (model, quantity, limit) => {
    const found = comparisons.find((each) => each.model === model && each.quantity === quantity)!;
    expect(Math.abs(found.error)).toBeLessThan(limit);
    expect(found.error).toBeCloseTo(found.estimated / found.published - 1, 12);
    expect(found.source).toMatch(/\d{4}/);
  });

  test("every comparison is tested", () => {
    expect(comparisons).toHaveLength(13);
  });
});

describe("a plan", () => {
  const input = {
    parameters: 7e9,
    tokens: 1e12,
    count: undefined,
    hardware: hardware.a100,
    devices: undefined,
    pue: 1.25,
    recompute: false,
    weightBits: 16,
    intensity: undefined,
  };

  test("follows its formulas", () => {
    const { training, inference, hardware: used } = plan(input);
    expect(training.flops).toBe(6 * 7e9 * 1e12);
    expect(training.deviceSeconds).toBeCloseTo(training.flops / 150e12, 0);
    expect(training.joules).toBeCloseTo(training.deviceSeconds * 400 * 1.25, -3);
    expect(training.kwh).toBeCloseTo(training.joules / 3.6e6, 3);
    expect(training.memory.stateBytes).toBe(112e9);
    expect(used.devices).toBe(2);
    expect(training.seconds).toBe(training.deviceSeconds / 2);
    expect(inference).toMatchObject({ flopsPerToken: 14e9, weightBytes: 14e9, devices: 1 });
    expect(inference.tokensPerSecond).toBeCloseTo(2039 / 14, 6);
    expect(inference.joulesPerToken).toBeCloseTo((14 / 2039) * 400 * 1.25, 9);
  });

  test("what is unknown is null with a reason", () => {
    const { training, inference } = plan(input);
    expect(training).toMatchObject({
      flopsOfGraph: null,
      flopsOfGraphReason: expect.stringContaining("--config"),
      gCO2e: null,
      gCO2eReason: expect.stringContaining("--intensity"),
    });
    expect(training.memory.activationBytes).toBeNull();
    expect(inference.flopsPerTokenOfGraph).toBeNull();
  });

  test("recomputation, an intensity, fewer bits, more accelerators", () => {
    const intensity = { gramsPerKwh: 100, source: "somewhere" };
    const { training, inference } = plan({
      ...input,
      recompute: true,
      intensity,
      weightBits: 4,
      devices: 64,
    });
    expect(training.flops).toBe(8 * 7e9 * 1e12);
    expect(training.seconds).toBe(training.deviceSeconds / 64);
    expect(training.gCO2e).toBeCloseTo((training.joules / 3.6e6) * 100, 3);
    expect(training).not.toHaveProperty("gCO2eReason");
    expect(inference.weightBytes).toBe(3.5e9);
  });
});

describe("configs", () => {
  test.each([
    ["no JSON", "{", /not JSON/],
    ["no object", "[1]", /no JSON object/],
    ["an unknown architecture", '{"model_type":"t5"}', /unknown model_type "t5".*gpt2/],
    ["a name of every object", '{"model_type":"constructor"}', /unknown model_type/],
    [
      "a field missing",
      '{"model_type":"gpt2"}',
      /num_hidden_layers is a whole number above 0, got undefined/,
    ],
    [
      "a fraction",
      JSON.stringify({ ...configs.gpt2, n_layer: 1.5 }),
      /n_layer is a whole number above 0, got 1.5/,
    ],
    ["text", JSON.stringify({ ...configs.gpt2, n_embd: "768" }), /n_embd is a whole number/],
    ["too large", JSON.stringify({ ...configs.gpt2, vocab_size: 1e12 }), /vocab_size/],
    [
      "heads that do not divide",
      JSON.stringify({ ...configs.bert, hidden_size: 770 }),
      /12 heads .* do not divide/,
    ],
    [
      "key heads that do not divide",
      JSON.stringify({ ...configs.llama3, num_key_value_heads: 5 }),
      /\(5 of keys\)/,
    ],
  ])("%s", (_, text, message) => {
    expect(() => parseConfig(text)).toThrow(FormatError);
    expect(() => parseConfig(text)).toThrow(message);
  });

  test("any JSON is a shape of whole numbers or a FormatError", () => {
    const fields = Object.keys(configs.llama3).concat(Object.keys(configs.gpt2));
    const config = fc.dictionary(fc.constantFrom(...fields), fc.jsonValue());
    const type = fc.constantFrom("gpt2", "bert", "llama", "bloom");
    fc.assert(
      fc.property(config, type, (values, model_type) => {
        try {
          const shape = parseConfig(JSON.stringify({ ...values, model_type }));
          return Object.values(shape).every(
            (value) => typeof value !== "number" || Number.isSafeInteger(value),
          );
        } catch (error) {
          return error instanceof FormatError;
        }
      }),
    );
  });
});

describe("the command", () => {
  let directory = "";
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "wattgrad-plan-"));
    await writeFile(join(directory, "gpt2.json"), JSON.stringify(configs.gpt2));
    await writeFile(join(directory, "damaged.json"), '{"model_type":"gpt2"}');
  });
  afterAll(() => rm(directory, { recursive: true }));

  test("GPT-3 with the published hardware and power", async () => {
    const args = ["plan", "--params", "175e9", "--tokens", "300e9"];
    const { code, stdout, stderr } = await run([...args, "--json", "plan.json"], directory);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const { training, inference } = JSON.parse(await readFile(join(directory, "plan.json"), "utf8"));
    expect(Math.abs(training.flops / 3.14e23 - 1)).toBeLessThan(0.1);
    expect(Math.abs(training.joules / 3.6e9 / 1287 - 1)).toBeLessThan(0.3);
    expect(training.kind).toBe("modelled");
    expect(inference.flopsPerToken).toBe(350e9);
    expect(stdout).toMatch(/energy +│ 4\.6\d TJ = 1,29\d MWh \(modelled\)/);
    expect(stdout).toContain("Patterson et al. 2021");
    expect(stdout).toContain("unknown: no carbon intensity was given");
    expect(stdout).not.toMatch(/NaN|undefined|null/);
  });

  test("a config is counted, and an intensity gives CO2", async () => {
    const args = ["plan", "--config", "gpt2.json", "--length", "512", "--hardware", "h100", "--watts", "500"];
    const intensity = ["--intensity", "56", "--intensity-source", "France 2023, Our World in Data"];
    const { code, stdout } = await run([...args, ...intensity, "--json", "-"], directory);
    expect(code).toBe(0);
    const report = JSON.parse(stdout);
    expect(report.parameters).toBe(124_439_808);
    expect(report.training.tokens).toBe(20 * 124_439_808);
    expect(report.training.flopsOfGraph).toBeGreaterThan(report.training.flops);
    expect(report.training.flopsOfGraph).toBeLessThan(1.3 * report.training.flops);
    expect(report.training.gCO2e).toBeCloseTo(report.training.kwh * 56, 6);
    expect(report.training.memory.activationBytes).toBeGreaterThan(0);
    expect(report.hardware).toMatchObject({ watts: 500, source: expect.stringMatching(/^500 W as given/) });
  });

  test("published figures with their errors and sources", async () => {
    const { code, stdout } = await run(["plan", "--published"], directory);
    expect(code).toBe(0);
    for (const word of ["GPT-3 175B", "BERT-base", "BLOOM 176B", "error", "arXiv:2104.10350"])
      expect(stdout).toContain(word);
    expect(stdout.match(/[+-]\d+\.\d %/g)).toHaveLength(13);
  });

  test.each<[string, string[], number, RegExp]>([
    ["neither parameters nor a config", [], 2, /either --params N or --config FILE/],
    ["both", ["--params", "1e9", "--config", "gpt2.json"], 2, /either --params N or --config FILE/],
    ["an intensity without its source", ["--params", "1e9", "--intensity", "50"], 2, /belong together/],
    ["an impossible PUE", ["--params", "1e9", "--pue", "0.5"], 2, /--pue is at least 1/],
    ["a length alone", ["--params", "1e9", "--length", "5"], 2, /--length needs --config/],
    ["no number", ["--params", "many"], 2, /number above 0/],
    ["unknown hardware", ["--params", "1e9", "--hardware", "abacus"], 2, /'abacus' is invalid.*v100/],
    [
      "a config that is not there",
      ["--config", "nowhere.json"],
      1,
      /cannot read nowhere.json: it does not exist/,
    ],
    [
      "a damaged config",
      ["--config", "damaged.json"],
      1,
      /damaged.json: num_hidden_layers is a whole number/,
    ],
    ["too long a sequence", ["--config", "gpt2.json", "--length", "4096"], 1, /4096 tokens .* 1024/],
  ])("%s", async (_, args, code, message) => {
    const outcome = await run(["plan", ...args], directory);
    expect(outcome).toMatchObject({ code, stdout: "" });
    expect(outcome.stderr).toMatch(/^wattgrad: [^\n]+\n$/);
    expect(outcome.stderr).toMatch(message);
  });
});
