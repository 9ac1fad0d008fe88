/** `wattgrad recipe` on little data: the figures, the files, and what is refused. */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadAdapter } from "../../src/adapters/index.js";
import { majorityShare, speechData, speechesOf } from "../../src/cli/recipes/speeches.js";
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

test("speakers learns who says what, and repeats itself with a seed", async () => {
  // Each speaker has words of their own, so that a held-back speech tells who speaks.
  const said = { ANN: "a cat sat", BOB: "the dog ran", CY: "one fish swam" };
  const speech = (name: keyof typeof said, i: number) => `${name}:\n${said[name]}, ${words[i % 5]}!\n`;
  const names = Object.keys(said) as (keyof typeof said)[];
  const play = Array.from({ length: 90 }, (_, i) => speech(names[i % 3], i)).join("\n");
  await writeFile(join(directory, "play.txt"), play);
  const learn = async (seed: string, steps: string) => {
    const { code, stderr } = await run([
      ...["recipe", "speakers", "--data", join(directory, "play.txt"), "--steps", steps, "--device", "wasm"],
      ...["--seed", seed, "--json", join(directory, "report.json")],
    ]);
    expect(code, stderr).toBe(0);
    expect(stderr).toContain("72 speeches, 18 held back");
    return reportOf();
  };
  const { promise, figures } = await learn("1", "45");
  expect(promise.figure).toBe("accuracy");
  expect(figures.accuracy).toBe(1);
  expect(figures.majority).toBeCloseTo(1 / 3);
  expect(figures.validationLoss).toBeLessThan(Math.log(3) / 2);
  const [first, again, other] = [await learn("1", "2"), await learn("1", "2"), await learn("2", "2")];
  expect(again.figures).toEqual(first.figures);
  expect(other.figures).not.toEqual(first.figures);
});

test("reads speeches, and holds back every fifth of a speaker", () => {
  const text = "First Citizen:\nBefore we proceed,\nhear me!\n\nNo speech\n\nALL:\nSpeak, don't.\n";
  expect(speechesOf(text)).toEqual([
    { speaker: "First Citizen", words: ["before", "we", "proceed", ",", "hear", "me", "!"] },
    { speaker: "ALL", words: ["speak", ",", "don't", "."] },
  ]);
  const names = ["A", "B", "A", "A", "B", "A", "A", "C"];
  const play = names.map((name, i) => `${name}:\nword${"abcdefgh"[i]} said\n`).join("\n");
  const data = speechData(play, { contextLength: 3, maxWords: 2 });
  expect(data.speakers).toEqual(["A", "B", "C"]);
  // "word" and the letter of the held-back speech are one word; of the others, the two most frequent are known.
  expect(data.vocabulary).toBe(7);
  expect([data.texts.length, data.training.length]).toEqual([7, 7]);
  expect(data.texts[0]).toEqual([2, 6, 3]);
  expect(data.validation).toEqual([{ tokens: [2, 1, 3], label: 0 }]);
  expect(majorityShare([0, 1, 1, 2].map((label) => ({ tokens: [], label })))).toBe(0.5);
  expect(() => speechData("A:\none", { contextLength: 3, maxWords: 2 })).toThrow(/1 speeches of 1 speakers/);
});

test("tells what is missing", async () => {
  const data = join(directory, "words.txt");
  expect((await run(["recipe", "lora", "--data", data, "--device", "wasm"])).stderr).toContain("--model");
  expect((await run(["recipe", "char-gpt", "--data", join(directory, "none.txt")])).stderr).toContain(
    "cannot read",
  );
  const unknown = await run(["recipe", "pie", "--data", data]);
  expect(unknown.code).toBe(2);
  expect(unknown.stderr).toContain("char-gpt, lora, speakers");
  const unnamed = await run(["recipe"]);
  expect(unnamed.code).toBe(2);
  for (const name of ["char-gpt", "lora", "speakers"]) {
    expect(unnamed.stderr).toMatch(new RegExp(`^ +${name} +\\w`, "m"));
  }
  expect((await run(["recipe", "char-gpt"])).stderr).toContain("--data");
  const noPlay = await run(["recipe", "speakers", "--data", data, "--device", "wasm"]);
  expect([noPlay.code, noPlay.stderr]).toEqual([2, expect.stringContaining("0 speeches of 0 speakers")]);
});
