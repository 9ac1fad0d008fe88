/** `wattgrad generate` with a tiny Llama (test/fixtures/models) and a tokenizer of words. */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { generate } from "../../src/generation/index.js";
import { folder } from "../../src/hub/index.js";
import { type CausalModel, fromPretrained } from "../../src/models/index.js";
import { run } from "./wattgrad.js";

const fixture = fileURLToPath(new URL("../fixtures/models/smollm2", import.meta.url));
const vocabularySize = 61;
const special = ["<s>", "<pad>", "</s>", "<unk>"];
const words = Array.from({ length: vocabularySize - special.length }, (_, i) => `w${i + special.length}`);

const tokenizer = {
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: special.map((content, id) => ({ id, content, special: true })),
  normalizer: null,
  pre_tokenizer: { type: "Whitespace" },
  post_processor: null,
  decoder: null,
  model: {
    type: "WordLevel",
    unk_token: "<unk>",
    vocab: Object.fromEntries([...special, ...words].map((word, id) => [word, id])),
  },
};
const tokenizerConfig = {
  tokenizer_class: "PreTrainedTokenizerFast",
  eos_token: "</s>",
  chat_template: "{% for message in messages %}{{ message.content }} w9 {% endfor %}w10",
};

let directory = "";
let server: Server;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "generate-"));
  await cp(fixture, join(directory, "model"), { recursive: true });
  await writeFile(join(directory, "model", "tokenizer.json"), JSON.stringify(tokenizer));
  await writeFile(join(directory, "model", "tokenizer_config.json"), JSON.stringify(tokenizerConfig));
  server = createServer(async ({ url, headers }, response) => {
    const bytes = await readFile(join(directory, decodeURI(url!))).catch(() => undefined);
    if (bytes === undefined) return response.writeHead(404).end();
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? "") ?? [];
    if (from === undefined) return response.writeHead(200, { "content-length": bytes.length }).end(bytes);
    const part = bytes.subarray(Number(from), to ? Number(to) + 1 : undefined);
    const range = `bytes ${from}-${Number(from) + part.length - 1}/${bytes.length}`;
    return response.writeHead(206, { "content-range": range, "content-length": part.length }).end(part);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});

afterAll(async () => {
  server.close();
  await rm(directory, { recursive: true });
});

const common = ["--prompt", "w5 w6 w7", "--max-new-tokens", "6", "--device", "reference"];

/** Greedy tokens after a prompt. */
async function expected(inputIds: readonly number[]): Promise<readonly number[]> {
  const { model, generationConfig } = await fromPretrained<CausalModel>(folder(join(directory, "model")), {
    head: "causalLm",
    device: "reference",
  });
  const options = { inputIds, maxNewTokens: 6, temperature: 0, generationConfig };
  return (await generate(model, options).finish()).sequences[0][0].ids;
}

describe("wattgrad generate", () => {
  test("continues a text and reports what it took", async () => {
    const { code, stdout, stderr } = await run(
      ["generate", "model", ...common, "--json", "report.json"],
      directory,
    );
    expect(stderr).toMatch(/3 prompt tokens at [\d.]+\/s, 6 new tokens at [\d.]+\/s; ended by length/);
    expect(code).toBe(0);
    const report = JSON.parse(await readFile(join(directory, "report.json"), "utf8"));
    const ids = await expected([5, 6, 7]);
    expect(report.tokens).toEqual(ids);
    expect(stdout.trim()).toBe(report.text);
    // Special tokens are no text.
    const words = ids.filter((id) => id >= special.length).map((id) => `w${id}`);
    expect(report.text.split(/\s+/)).toEqual(words);
    expect(report.promptTokens).toBe(3);
    expect(report.stoppedBecause).toBe("length");
    expect(report.prefillTokensPerSecond).toBeGreaterThan(0);
    expect(report.tokensPerSecond).toBeGreaterThan(0);
    expect(report.peakBytes).toBeGreaterThan(0);
    expect(["measured", "modelled", "assumed"]).toContain(report.joulesPerToken.kind);
    expect(report.settings.doSample).toBe(false);
  });

  test("answers a message by the chat template, over a network as well", async () => {
    const place = `http://127.0.0.1:${(server.address() as AddressInfo).port}/model`;
    const args = [...common, "--chat", "--system", "w20", "--quiet", "--json", "-"];
    const { code, stdout, stderr } = await run(["generate", place, ...args], directory);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const { tokens, promptTokens } = JSON.parse(stdout);
    expect(promptTokens).toBe(7);
    expect(tokens).toEqual(await expected([20, 9, 5, 6, 7, 9, 10]));
  });

  test("samples the same tokens with the same seed", async () => {
    const sample = async (seed: string) => {
      const args = [
        "generate",
        "model",
        ...common,
        "--temperature",
        "2",
        "--seed",
        seed,
        "--quiet",
        "--json",
        "-",
      ];
      return JSON.parse((await run(args, directory)).stdout).tokens;
    };
    const first = await sample("1");
    expect(await sample("1")).toEqual(first);
    expect(await sample("2")).not.toEqual(first);
  });

  test("rounds the weights", async () => {
    const args = ["generate", "model", ...common, "--quantize", "int8-dynamic", "--json", "-"];
    const { code, stdout } = await run(args, directory);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ quantize: "int8-dynamic", promptTokens: 3 });
  });

  test.each([
    [["generate", "missing", ...common], 1, /missing/],
    [["generate", "model", "--prompt", "w5", "--system", "w6"], 2, /--system needs --chat/],
    [["generate", "model", "--prompt", "w5", "--top-p", "2"], 2, /up to 1/],
    [["generate", "model"], 2, /--prompt/],
  ])("%j fails in one line", async (args, code, message) => {
    const outcome = await run(args, directory);
    expect(outcome.stderr).toMatch(message);
    expect(outcome.stderr.trim().split("\n").length).toBe(1);
    expect(outcome.code).toBe(code);
  });
});
