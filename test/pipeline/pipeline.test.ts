/** Pipelines beyond their results: batches, streams, long texts, memory, and one clear error for invalid input. */
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ContextFullError } from "../../src/generation/index.js";
import { files, folder } from "../../src/hub/index.js";
import { type Device, openDevice } from "../../src/index.js";
import { fromPretrained } from "../../src/models/index.js";
import { pipeline, type Truncation } from "../../src/pipeline/index.js";
import { int8Dynamic } from "../../src/quantization/index.js";
import { ChatError, loadTokenizer } from "../../src/text/index.js";

const path = (model: string) => fileURLToPath(new URL(`../fixtures/models/${model}`, import.meta.url));
const long = "the cat sat on the dog ".repeat(20);

let device: Device;
beforeAll(async () => {
  device = await openDevice("wasm");
});
afterAll(() => device.close());

test("a pipeline that was disposed of says so, also to a call that runs", async () => {
  const embed = await pipeline("feature-extraction", path("minilm"), { device });
  const running = embed(Array(50).fill("the cat"), { pooling: "mean" });
  embed.dispose();
  const disposed = /feature-extraction: the pipeline was disposed/;
  await expect(running).rejects.toThrow(disposed);
  await expect(embed("the cat")).rejects.toThrow(disposed);
  const write = await pipeline("text-generation", path("smollm2"), { device });
  write.dispose();
  expect(() => write.stream("the cat")).toThrow(/text-generation: the pipeline was disposed/);
});

test("a question may be one object, two texts, or one of a list", async () => {
  const ask = await pipeline("question-answering", path("bert_question"), { device });
  const question = { question: "who?", context: "the cat sat on the dog" };
  const answer = await ask(question);
  expect(answer.score).toBeGreaterThan(0);
  expect(await ask(question.question, question.context)).toEqual(answer);
  const ofList = await ask([question, question]);
  expect(ofList.map(({ start, end }) => [start, end])).toEqual(Array(2).fill([answer.start, answer.end]));
  expect(await ask(question, { topK: 2 })).toHaveLength(2);
  await expect(ask({ question: "who?" } as never)).rejects.toThrow(/the context is a string/);
  ask.dispose();
});

describe("batches", () => {
  test("a text has the same result alone and among others", async () => {
    const classify = await pipeline("text-classification", path("bert_sequence"), { device, batchSize: 3 });
    const texts = [
      "the cat",
      "a happy dog sleeps in paris",
      "eat",
      long.slice(0, 60),
      "who lives in berlin?",
    ];
    const together = await classify(texts, { topK: null });
    for (const [i, text] of texts.entries()) {
      const alone = await classify(text, { topK: null });
      expect(together[i].map(({ label }) => label)).toEqual(alone.map(({ label }) => label));
      for (const [k, { score }] of alone.entries()) expect(together[i][k].score).toBeCloseTo(score, 5);
    }
    expect(await classify([])).toEqual([]);
    classify.dispose();
  });

  test("long texts lose their end, and it is told", async () => {
    const told: Truncation[] = [];
    const options = { device, onTruncate: (event: Truncation) => told.push(event) };
    const classify = await pipeline("text-classification", path("roberta_sequence"), options);
    await classify(["eat", long]);
    expect(told).toEqual([{ index: 1, tokens: expect.any(Number), kept: 30 }]);
    expect(told[0].tokens).toBeGreaterThan(100);
    classify.dispose();
  });

  test("layers are rounded when asked for", async () => {
    const before = device.memory().liveBytes;
    const embed = await pipeline("feature-extraction", path("minilm"), {
      device,
      quantization: int8Dynamic(),
    });
    expect(String(embed.model)).toContain("Quantized");
    expect(await embed("the cat", { pooling: "model" })).toHaveLength(16);
    embed.dispose();
    expect(device.memory().liveBytes).toBe(before);
  });
});

describe("models in memory", () => {
  test("are used, and not freed", async () => {
    const source = folder(path("distilbert_tokens"));
    const { model } = await fromPretrained(source, { device });
    const tag = await pipeline("ner", { model, tokenizer: await loadTokenizer(source) });
    const tags = await tag("john lives in paris", { ignoreLabels: [] });
    expect(tags.map(({ word, start, end }) => [word, start, end])).toEqual([
      ["john", 0, 4],
      ["lives", 5, 10],
      ["in", 11, 13],
      ["paris", 14, 19],
    ]);
    tag.dispose();
    const again = await pipeline("ner", { model, tokenizer: await loadTokenizer(source) });
    expect(await again("eat", { ignoreLabels: [] })).toHaveLength(1);
    model.dispose();
  });
});

describe("embeddings", () => {
  test("pool as the model's files say", async () => {
    const embed = await pipeline("feature-extraction", path("minilm"), { device });
    const [own, mean] = [
      await embed("the cat sat", { pooling: "model" }),
      await embed("the cat sat", { pooling: "mean", normalize: true }),
    ];
    expect([...own]).toEqual([...mean]);
    expect(Math.hypot(...own)).toBeCloseTo(1, 6);
    const tokens = await embed("the cat sat", { normalize: true });
    expect(tokens).toHaveLength(5);
    for (const vector of tokens) expect(Math.hypot(...vector)).toBeCloseTo(1, 6);
    const [first] = await embed("the cat sat");
    const cls = await embed("the cat sat", { pooling: "cls" });
    for (const [i, x] of cls.entries()) expect(x).toBeCloseTo(first[i], 5);
    embed.dispose();
  });

  test("of a decoder, too", async () => {
    const embed = await pipeline("feature-extraction", path("gpt2"), { device });
    const [short, both] = [await embed("the cat"), await embed(["the cat", "the cat sat in paris"])];
    expect(both[0]).toHaveLength(short.length);
    for (const [i, vector] of short.entries()) {
      for (const [k, x] of vector.entries()) expect(both[0][i][k]).toBeCloseTo(x, 4);
    }
    embed.dispose();
  });

  test("choose classes by their nearness", async () => {
    const source = folder(path("minilm"));
    const choose = await pipeline("zero-shot-classification", source, { device });
    const embed = await pipeline("feature-extraction", source, { device });
    const labels = ["sport", "the dog", "food"];
    const text = "the cat sat";
    const [own, ...others] = await embed([text, ...labels], { pooling: "model" });
    const cosines = others.map((other) => other.reduce((sum, x, i) => sum + x * own[i], 0));
    const { labels: order, scores } = await choose(text, labels, { multiLabel: true });
    expect(order[0]).toBe(labels[cosines.indexOf(Math.max(...cosines))]);
    expect(scores[0]).toBeCloseTo(Math.max(...cosines), 5);
    const among = await choose(text, labels.join(", "));
    expect(among.labels).toEqual(order);
    expect(among.scores.reduce((a, b) => a + b)).toBeCloseTo(1, 9);
    choose.dispose();
    embed.dispose();
  });
});

describe("text", () => {
  test("streams as it is returned", async () => {
    const write = await pipeline("text-generation", path("smollm2"), { device });
    const options = { maxNewTokens: 12, doSample: false };
    const [{ generated_text: whole }] = await write("the cat sat", options);
    const stream = write.stream("the cat sat", options);
    let text = "the cat sat";
    for await (const piece of stream) text += piece.text;
    expect(text).toBe(whole);
    const { reasons, generation } = await stream.finish();
    expect(["eos", "length"]).toContain(reasons[0]);
    expect(generation.usage.promptTokens).toBeGreaterThan(3);
    const heard: string[] = [];
    await write("the cat sat", { ...options, onText: ({ text }) => heard.push(text) });
    expect(`the cat sat${heard.join("")}`).toBe(whole);
    write.dispose();
  });

  test("stop texts are in no stream", async () => {
    const write = await pipeline("text-generation", path("smollm2"), { device });
    const options = { maxNewTokens: 20, doSample: false, returnFullText: false };
    const [{ generated_text: whole }] = await write("the cat sat", options);
    const stop = whole.slice(6, 9);
    let text = "";
    const stream = write.stream("the cat sat", { ...options, stop });
    for await (const piece of stream) text += piece.text;
    expect(text).toBe(whole.slice(0, whole.indexOf(stop)));
    expect((await stream.finish()).texts[0][0].generated_text).toBe(text);
    write.dispose();
  });

  test("an answer that was begun goes on", async () => {
    const write = await pipeline("text-generation", path("smollm2"), { device });
    const chat = [
      { role: "user", content: "who?" },
      { role: "assistant", content: "the cat" },
    ];
    const [{ generated_text }] = await write(chat, { maxNewTokens: 6, doSample: false });
    const [, answer] = generated_text as { role: string; content: string }[];
    expect(generated_text).toHaveLength(2);
    expect(answer.content.startsWith("the cat")).toBe(true);
    const prompt = "<s>user who?</s><s>assistant the cat";
    const [plain] = await write(prompt, { maxNewTokens: 6, doSample: false });
    expect(answer.content).toBe(`the cat${plain.generated_text.slice(prompt.length)}`);
    write.dispose();
  });

  test("a signal ends it", async () => {
    const write = await pipeline("text-generation", path("smollm2"), { device });
    const controller = new AbortController();
    const onText = () => controller.abort(new Error("enough"));
    await expect(write("the cat", { signal: controller.signal, onText })).rejects.toThrow("enough");
    write.dispose();
  });
});

describe("errors", () => {
  const failure = async (work: () => Promise<unknown>) => {
    const error = await work().then(
      () => undefined,
      (reason: Error) => reason,
    );
    return error;
  };
  const loading =
    (task: never, model: unknown, options = {}) =>
    () =>
      pipeline(task, model as string, { device, ...options });

  test.each([
    [
      "an unknown task",
      "text-clasification",
      "bert_sequence",
      /no task "text-clasification".*did you mean text-classification/,
    ],
    [
      "another head",
      "text-classification",
      "bert_maskedLm",
      /BertForMaskedLM, which has no head for text-classification.*fill-mask/,
    ],
    ["no head", "fill-mask", "minilm", /no weights of a head for fill-mask/],
    [
      "another family",
      "fill-mask",
      "gpt2",
      /GPT2LMHeadModel, which has no head for fill-mask.*text-generation/,
    ],
    ["no tokenizer", "text-generation", "qwen3", /has no tokenizer/],
    ["no entailment", "zero-shot-classification", "bert_sequence", /no class "entailment"/],
    ["no zero-shot head", "zero-shot-classification", "bert_question", /question-answering/],
    ["a missing folder", "ner", "nowhere", /nowhere/],
  ])("%s", async (_, task, model, message) => {
    const before = device.memory().liveBytes;
    const error = await failure(loading(task as never, path(model)));
    expect(error?.message).toMatch(message);
    expect(error?.message).not.toContain("\n");
    expect(device.memory().liveBytes).toBe(before);
  });

  test("a model in memory without a tokenizer", async () => {
    const { model } = await fromPretrained(folder(path("bert_tokens")), { device });
    expect((await failure(loading("ner" as never, { model })))?.message).toMatch(
      /no tokenizer.*loadTokenizer/,
    );
    expect((await failure(loading("ner" as never, model)))?.message).toMatch(/loadTokenizer/);
    model.dispose();
  });

  test("the tokenizer of another model", async () => {
    const own = folder(path("bert_tokens"));
    const json = JSON.parse(new TextDecoder().decode(await own.read("tokenizer.json")));
    json.model.vocab.more = 61;
    const entries = await Promise.all(
      ["config.json", "model.safetensors", "tokenizer_config.json"].map(
        async (name) => [name, await own.read(name)] as const,
      ),
    );
    const other = files(
      new Map([...entries, ["tokenizer.json", new TextEncoder().encode(JSON.stringify(json))]]),
    );
    const error = await failure(loading("ner" as never, other));
    expect(error?.message).toMatch(/the tokenizer has 62 tokens, the given files 61/);
  });

  test("prompts that cannot be answered", async () => {
    const write = await pipeline("text-generation", path("smollm2"), { device });
    const empty = await failure(() => write(""));
    expect(empty?.message).toMatch(/prompt 0 is empty/);
    const tooLong = await failure(() => write(long));
    expect(tooLong).toBeInstanceOf(ContextFullError);
    expect(tooLong?.message).toMatch(/the prompt has \d+ tokens, the context 64/);
    const role = await failure(() => write([{ role: "pirate", content: "arr" }]));
    expect(role).toBeInstanceOf(ChatError);
    expect(role?.message).toMatch(/message 0 has the role "pirate".*system, user, assistant/);
    const full = write.stream("the cat sat on the ", {
      maxNewTokens: 1000,
      doSample: false,
      minNewTokens: 1000,
    });
    expect((await full.finish()).reasons).toEqual(["context"]);
    write.dispose();
    const plain = await pipeline("text-generation", path("gpt2"), { device });
    plain.dispose();
  });

  test("inputs of another kind", async () => {
    const fill = await pipeline("fill-mask", path("bert_maskedLm"), { device });
    expect((await failure(() => fill("no mask")))?.message).toMatch(/text 0 has no mask.*\[MASK\]/);
    expect((await failure(() => fill(`${long}[MASK]`)))?.message).toMatch(/takes 32 tokens/);
    expect((await failure(() => fill("[MASK]", { topk: 3 } as never)))?.message).toMatch(/did you mean topK/);
    expect((await failure(() => fill(3 as never)))?.message).toMatch(
      /a string, or an array of strings, got 3/,
    );
    fill.dispose();
    const ask = await pipeline("question-answering", path("bert_question"), { device });
    expect((await failure(() => ask("who?", "")))?.message).toMatch(/the context is empty/);
    expect((await failure(() => ask(long, "a dog")))?.message).toMatch(/room for 0 tokens/);
    ask.dispose();
    const tag = await pipeline("ner", path("bert_tokens"), { device });
    expect((await failure(() => tag("a", { stride: 2 })))?.message).toMatch(/aggregation strategy/);
    tag.dispose();
  });
});
