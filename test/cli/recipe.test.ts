/** `wattgrad recipe` on little data: the figures, the files, and what is refused. */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadAdapter } from "../../src/adapters/index.js";
import { folder } from "../../src/hub/index.js";
import { fromPretrained } from "../../src/models/index.js";
import { run as runIn } from "./wattgrad.js";

const fixture = fileURLToPath(new URL("../fixtures/models/smollm2", import.meta.url));
const words = Array.from({ length: 61 }, (_, i) => `w${i}`);
const tokenizer = {
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: { type: "Whitespace" },
  post_processor: null,
  decoder: null,
  model: {
    type: "WordLevel",
    unk_token: "w3",
    vocab: Object.fromEntries(words.map((word, id) => [word, id])),
  },
};
let directory = "";
const run = (args: readonly string[]) => runIn(args, directory);

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "wattgrad-recipe-"));
  await cp(fixture, join(directory, "model"), { recursive: true });
  await writeFile(join(directory, "model", "tokenizer.json"), JSON.stringify(tokenizer));
  await writeFile(join(directory, "model", "tokenizer_config.json"), "{}");
  await writeFile(
    join(directory, "words.txt"),
    Array.from({ length: 200 }, (_, i) => words[4 + ((i * i) % 7)]).join(" "),
  );
  await writeFile(join(directory, "letters.txt"), "the cat sat on the mat, the rat ran. ".repeat(80));
});

afterAll(() => rm(directory, { recursive: true }));

const reportOf = async () => JSON.parse(await readFile(join(directory, "report.json"), "utf8"));

test("char-gpt repeats itself with a seed", async () => {
  const args = [
    "recipe",
    "char-gpt",
    "--data",
    join(directory, "letters.txt"),
    "--steps",
    "2",
    "--device",
    "wasm",
  ];
  const figures: unknown[] = [];
  for (const seed of ["1", "1", "2"]) {
    const { code, stderr } = await run([...args, "--seed", seed, "--json", join(directory, "report.json")]);
    expect(code, stderr).toBe(0);
    const { recipe, promise, ...rest } = await reportOf();
    expect([recipe, promise.figure, promise.atMost]).toEqual(["char-gpt", "validationLoss", 1.75]);
    figures.push(rest.figures);
  }
  expect(figures[1]).toEqual(figures[0]);
  expect(figures[2]).not.toEqual(figures[0]);
});

test("lora learns a text and writes what peft reads", async () => {
  const output = join(directory, "adapter");
  const { code, stderr } = await run([
    ...["recipe", "lora", "--data", join(directory, "words.txt"), "--model", join(directory, "model")],
    ...["--steps", "12", "--output", output, "--device", "wasm", "--json", join(directory, "report.json")],
  ]);
  expect(code, stderr).toBe(0);
  const { figures } = await reportOf();
  expect(figures.lossAfter).toBeLessThan(figures.lossBefore);
  const { model } = await fromPretrained(folder(join(directory, "model")), { device: "wasm" });
  expect((await loadAdapter(model, output)).config.rank).toBe(8);
});

test("tells what is missing", async () => {
  const data = join(directory, "words.txt");
  expect((await run(["recipe", "lora", "--data", data, "--device", "wasm"])).stderr).toContain("--model");
  expect((await run(["recipe", "char-gpt", "--data", join(directory, "none.txt")])).stderr).toContain(
    "cannot read",
  );
  expect((await run(["recipe", "pie", "--data", data])).code).toBe(2);
});
