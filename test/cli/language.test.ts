/** `wattgrad chat`, `embed` and `run` with tiny models (test/fixtures/models), through pipes as a user's script has them. */
import { type ChildProcess, spawn } from "node:child_process";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { folder } from "../../src/hub/index.js";
import { openDevice } from "../../src/index.js";
import { pipeline } from "../../src/pipeline/index.js";
import type { Message } from "../../src/text/index.js";
import { minilm } from "../minilm.js";
import { realModel } from "../real_models.js";
import { type Outcome, program, run } from "./wattgrad.js";

const models = fileURLToPath(new URL("../fixtures/models", import.meta.url));
const model = (name: string) => join(models, name);
let directory = "";

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "language-"));
  // A context in which an answer takes its time.
  await cp(model("smollm2"), join(directory, "talker"), { recursive: true });
  const path = join(directory, "talker", "config.json");
  const config = JSON.parse(await readFile(path, "utf8"));
  await writeFile(path, JSON.stringify({ ...config, max_position_embeddings: 100_000, eos_token_id: null }));
});
afterAll(() => rm(directory, { recursive: true }));

/** The command with text on its stdin. */
interface Piped {
  readonly child: ChildProcess;
  readonly outcome: Promise<Outcome>;
  /** Resolves when stdout has more than `length` characters and `lines` ended lines, with its length. */
  written(length: number, lines?: number): Promise<number>;
}

function piped(args: readonly string[]): Piped {
  const child = spawn(process.execPath, [program, ...args], { cwd: directory });
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      texts[name] += text;
    });
  }
  const outcome = new Promise<Outcome>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, ...texts }));
  });
  const written = async (length: number, lines = 0) => {
    while (texts.stdout.length <= length || texts.stdout.split("\n").length <= lines)
      await new Promise((resolve) => setTimeout(resolve, 5));
    return texts.stdout.length;
  };
  return { child, outcome, written };
}

async function withInput(args: readonly string[], input: string): Promise<Outcome> {
  const { child, outcome } = piped(args);
  child.stdin!.end(input);
  return outcome;
}

const chatOptions = ["--max-new-tokens", "5", "--temperature", "0", "--device", "reference"];

describe("wattgrad chat", () => {
  test("answers line after line, with what was said before", async () => {
    const write = await pipeline("text-generation", folder(model("smollm2")), {
      device: await openDevice("reference"),
    });
    const chat: Message[] = [{ role: "system", content: "nice" }];
    const answers: string[] = [];
    const ask = async (content: string) => {
      chat.push({ role: "user", content });
      const [{ generated_text }] = await write(chat, {
        maxNewTokens: 5,
        temperature: 0,
        returnFullText: false,
      });
      chat.push({ role: "assistant", content: generated_text as string });
      answers.push(generated_text as string);
    };
    await ask("the cat");
    await ask("who?");
    chat.length = 1;
    await ask("eat");
    const { code, stdout, stderr } = await withInput(
      ["chat", model("smollm2"), "--system", "nice", ...chatOptions, "--quiet"],
      "the cat\n\nwho?\n/reset\n/what\neat\n/exit\nnever\n",
    );
    expect(stdout).toBe(`${answers.join("\n")}\n`);
    expect(stderr).toBe("/reset begins a new chat, /exit leaves\n");
    expect(code).toBe(0);
  });

  test("Ctrl-C stops the answer first, then the program", async () => {
    const { child, outcome, written } = piped([
      "chat",
      "talker",
      "--max-new-tokens",
      "90000",
      "--temperature",
      "0",
    ]);
    child.stdin!.write("the cat\n");
    await written(4);
    child.kill("SIGINT");
    // Signals before the end of the first answer would be one.
    const end = await written(0, 1);
    child.stdin!.write("who?\n");
    await written(end);
    child.kill("SIGINT");
    await new Promise((resolve) => setTimeout(resolve, 300));
    child.kill("SIGINT");
    const { code, signal, stdout, stderr } = await outcome;
    expect(signal).toBeNull();
    expect(code).toBe(130);
    expect(stdout.split("\n").length).toBeGreaterThanOrEqual(3);
    expect(stderr).toMatch(/wattgrad: interrupted\n$/);
  });

  test("a chat that is too long, a model without a template", async () => {
    const long = `${"the cat sat on the dog ".repeat(9)}\n`;
    const full = await withInput(["chat", model("smollm2"), ...chatOptions, "--quiet"], long);
    expect(full.stderr).toMatch(
      /^wattgrad: .*the prompt has \d+ tokens, the context 64.*\/reset begins a new chat\n$/,
    );
    expect(full.code).toBe(1);
    const none = await withInput(["chat", model("gpt2_scaled"), ...chatOptions], "a\n");
    expect(none.stderr).toMatch(/no tokenizer/);
    const config = JSON.parse(await readFile(join(directory, "talker", "tokenizer_config.json"), "utf8"));
    delete config.chat_template;
    await cp(model("smollm2"), join(directory, "silent"), { recursive: true });
    await writeFile(join(directory, "silent", "tokenizer_config.json"), JSON.stringify(config));
    const silent = await withInput(["chat", "silent", ...chatOptions], "a\n");
    expect(silent.stderr).toMatch(/^wattgrad: silent has no chat template/);
    expect(silent.code).toBe(2);
  });
});

test("wattgrad generate reads its prompt from a pipe", async () => {
  const args = ["generate", model("smollm2"), "--max-new-tokens", "5", "--json", "-", "--quiet"];
  const tokensOf = ({ stdout }: Outcome) => JSON.parse(stdout).tokens;
  const given = tokensOf(await withInput([...args, "--prompt", "the cat\nsat"], ""));
  expect(given.length).toBeGreaterThan(0);
  expect(tokensOf(await withInput(args, "the cat\nsat\n"))).toEqual(given);
  expect(tokensOf(await withInput([...args, "--prompt", "-"], "the cat\nsat"))).toEqual(given);
});

describe("wattgrad embed", () => {
  test("writes vectors and ids, and a table", async () => {
    const args = ["embed", model("minilm"), "the cat sat", "a dog", "--device", "reference"];
    const { code, stdout } = await run([...args, "--json", "vectors.json"], directory);
    expect(code).toBe(0);
    expect(stdout).toMatch(/1: the cat sat .*1\.0000/);
    const report = JSON.parse(await readFile(join(directory, "vectors.json"), "utf8"));
    const embed = await pipeline("feature-extraction", model("minilm"), {
      device: await openDevice("reference"),
    });
    expect(report.tokens[1]).toEqual([...embed.tokenizer.encode("a dog")]);
    const vectors = await embed(["the cat sat", "a dog"], { pooling: "model" });
    expect(report.embeddings).toEqual(vectors.map((vector) => [...vector]));
    const lines = await withInput(
      ["embed", model("minilm"), "--json", "-", "--device", "reference"],
      "the cat sat\n\na dog\n",
    );
    expect(JSON.parse(lines.stdout).embeddings).toEqual(report.embeddings);
  });

  const real = realModel("minilm");
  test.skipIf(real.missing)(`all-MiniLM-L6-v2 ${real.missing ?? ""}`, async () => {
    const args = ["embed", real.path, ...minilm.texts, "--device", "wasm", "--quiet", "--json", "-"];
    const { embeddings, tokens } = JSON.parse((await run(args, directory)).stdout);
    expect(tokens[0]).toEqual(minilm.ids);
    const [first, ...others] = embeddings as number[][];
    const similarities = others.map((other) => other.reduce((sum, x, i) => sum + x * first[i], 0));
    for (const [i, value] of minilm.similarities.entries()) expect(similarities[i]).toBeCloseTo(value, 4);
  });
});

describe("wattgrad run", () => {
  test.each([
    ["fill-mask", "bert_maskedLm", ["the [MASK] sat"], ["--option", "topK=3"]],
    [
      "ner",
      "bert_tokens",
      ["john lives", "in paris"],
      ["--option", "aggregationStrategy=first", "--option", "ignoreLabels=[]"],
    ],
    ["question-answering", "bert_question", ["who?"], ["--context", "the cat sat on the dog"]],
    ["zero-shot-classification", "minilm", ["the cat"], ["--labels", "sport, food"]],
    ["feature-extraction", "minilm", ["the cat"], ["--option", "pooling=model"]],
    ["text-generation", "smollm2", ["the cat"], ["--option", "maxNewTokens=4", "--option", "doSample=false"]],
  ])("%s", async (task, name, inputs, options) => {
    const args = ["run", task, model(name), ...inputs, ...options, "--device", "reference"];
    const { code, stdout, stderr } = await run([...args, "--json", "run.json"], directory);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const report = JSON.parse(await readFile(join(directory, "run.json"), "utf8"));
    expect(report).toMatchObject({ task, inputs });
    expect(report.results).toHaveLength(inputs.length);
    const lines = stdout.trim().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toEqual(report.results);
  });

  test.each([
    [["run", "fill-masks", model("bert_maskedLm"), "a"], 2, /did you mean fill-mask/],
    [["run", "ner", model("bert_maskedLm"), "a"], 1, /BertForMaskedLM/],
    [
      ["run", "ner", model("bert_tokens"), "a", "--labels", "b"],
      2,
      /--labels is for zero-shot-classification/,
    ],
    [["run", "question-answering", model("bert_question"), "a"], 2, /question-answering needs --context/],
    [["run", "ner", model("bert_tokens"), "a", "--option", "strategy"], 2, /name=value/],
    [["run", "fill-mask", model("bert_maskedLm"), "[MASK]", "--option", "topk=2"], 2, /did you mean topK/],
    [["embed", model("minilm")], 2, /there are no texts/],
    [["generate", model("smollm2"), "--prompt", ""], 2, /--prompt is empty/],
    [["generate", "nobody/nothing", "--prompt", "a"], 1, /nobody\/nothing.*hub:nobody\/nothing/],
    [["generate", "", "--prompt", "a"], 1, /the name of the model is empty/],
    [["generate", model("smollm2"), "--prompt", "the cat ".repeat(99)], 1, /tokens, the context 64/],
    [["generate", join(model("smollm2"), "none.gguf"), "--prompt", "a"], 1, /none\.gguf/],
  ])("%j fails in one line", async (args, code, message) => {
    const outcome = await withInput(args, "");
    expect(outcome.stderr).toMatch(message);
    expect(outcome.stderr.trim().split("\n").length).toBe(1);
    expect(outcome.code).toBe(code);
  });
});
