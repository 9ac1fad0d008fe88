/** Tokenizers and chat templates against the original libraries: tiny ones (tiny/make.py), and real ones if available. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { ArgumentError, FormatError } from "../../src/core/errors.js";
import { FileError } from "../../src/formats/file.js";
import { type FileSource, files, folder } from "../../src/hub/index.js";
import { ChatError, loadTokenizer, StreamingDetokenizer, type Tokenizer } from "../../src/text/index.js";
import { realModel } from "../real_models.js";

const here = fileURLToPath(new URL(".", import.meta.url));
const tiny = join(here, "tiny");
const vectors = JSON.parse(readFileSync(join(tiny, "vectors.json"), "utf8"));
const { model } = JSON.parse(readFileSync(join(tiny, "bpe", "tokenizer.json"), "utf8"));
const encodeText = (value: unknown) =>
  new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
const source = (entries: Readonly<Record<string, unknown>>): FileSource =>
  files(new Map(Object.entries(entries).map(([path, value]) => [path, encodeText(value)])));

interface Vector {
  readonly text: string;
  readonly ids: number[];
  readonly special: number[];
  readonly decoded: string;
}

describe.each([
  ["tokenizer.json of byte-level BPE", () => folder(join(tiny, "bpe")), vectors.bpe],
  [
    "the header of a GGUF file",
    () => files(new Map([["bpe.gguf", readFileSync(join(tiny, "bpe.gguf"))]])),
    vectors.bpe,
  ],
  ["tokenizer.json of WordPiece", () => folder(join(tiny, "wordpiece")), vectors.wordpiece],
] as [string, () => FileSource, Vector[]][])("%s", (_, open, list) => {
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    tokenizer = await loadTokenizer(open());
  });

  test.each(list)("$text", ({ text, ids, special, decoded }) => {
    expect([...tokenizer.encode(text, { addSpecialTokens: false })]).toEqual(ids);
    expect([...tokenizer.encode(text)]).toEqual(special);
    expect(tokenizer.decode(special)).toBe(decoded);
  });
});

test("vocab.json and merges.txt make GPT-2's tokenizer; those of other classes are refused", async () => {
  const merges = `#version: 0.2\n${model.merges.map((pair: string[]) => pair.join(" ")).join("\n")}\n`;
  const parts = { "vocab.json": model.vocab, "merges.txt": merges };
  const tokenizer = await loadTokenizer(source(parts));
  // Without the rule that splits digits, all but numbers are as before.
  for (const { text, ids } of (vectors.bpe as Vector[]).filter(({ text }) => !/\d|<\|im/.test(text))) {
    expect([...tokenizer.encode(text)], text).toEqual(ids);
  }
  expect(tokenizer.encode("<|endoftext|>")).toEqual(Int32Array.of(0));
  const other = source({ ...parts, "tokenizer_config.json": { tokenizer_class: "RobertaTokenizer" } });
  await expect(loadTokenizer(other)).rejects.toThrow(/do not tell the rules of "RobertaTokenizer"/);
  await expect(loadTokenizer(source({ ...parts, "merges.txt": "a b c" }))).rejects.toThrow(
    /is no pair of tokens/,
  );
  await expect(loadTokenizer(source({ ...parts, "vocab.json": { a: "x" } }))).rejects.toThrow(
    /the id of "a" is x/,
  );
});

test("a vocabulary of a few tokens", async () => {
  const tokenizer = await loadTokenizer(source({ "vocab.json": { h: 0, i: 1, hi: 2 }, "merges.txt": "h i" }));
  expect(tokenizer.encode("hih")).toEqual(Int32Array.of(2, 0));
  expect(tokenizer.encode("a")).toHaveLength(0);
});

test("special tokens, size and length", async () => {
  const tokenizer = await loadTokenizer(folder(join(tiny, "bpe")));
  expect(tokenizer.special).toEqual({
    bos: { token: "<|endoftext|>", id: 0 },
    eos: { token: "<|im_end|>", id: 2 },
    pad: { token: "<|im_end|>", id: 2 },
  });
  expect(tokenizer.size).toBe(Object.keys(model.vocab).length);
  expect(tokenizer.maxLength).toBe(2048);
  expect(tokenizer.id("<|im_start|>")).toBe(1);
  expect(tokenizer.token(1)).toBe("<|im_start|>");
  expect(tokenizer.decode([1, 2], { skipSpecialTokens: false })).toBe("<|im_start|><|im_end|>");
  expect(() => tokenizer.decode([0, 5000])).toThrow(ArgumentError);
  expect(() => tokenizer.decode([0.5])).toThrow(/id 0.5 at 0 is not in 0\.\./);
});

test("pairs of texts have types", async () => {
  const tokenizer = await loadTokenizer(folder(join(tiny, "wordpiece")));
  const { ids, tokenTypes } = tokenizer.encoding("What is a tensor?", { pair: "A handle." });
  expect([...ids]).toEqual(vectors.pair.ids);
  expect([...tokenTypes]).toEqual(vectors.pair.types);
});

describe("streams", () => {
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    tokenizer = await loadTokenizer(folder(join(tiny, "bpe")));
  });
  const pieces = (ids: readonly number[], options = {}) => {
    const stream = tokenizer.stream(options);
    return [...ids.map((id) => stream.push(id)), stream.end()];
  };

  test.each(vectors.bpe as Vector[])(
    "$text: the pieces are whole characters and make the text",
    ({ ids, decoded }) => {
      const given = pieces(ids);
      expect(given.join("")).toBe(decoded);
      const whole = [...decoded];
      expect(given.flatMap((piece) => [...piece])).toEqual(whole);
      if (!decoded.includes("\ufffd")) expect(given.join("")).not.toContain("\ufffd");
    },
  );

  test("an emoji of several tokens appears at its last one", () => {
    const ids = [...tokenizer.encode("a🦩b")];
    const given = pieces(ids);
    expect(ids.length).toBeGreaterThan(4);
    expect(given.filter((piece) => piece !== "")).toEqual(["a", "🦩", "b"]);
  });

  test("bytes that are no text become what they are in the whole, and an unfinished character is given at the end", () => {
    const { ids, decoded } = vectors.soup;
    expect(pieces(ids).join("")).toBe(decoded);
    const unfinished = [...tokenizer.encode("🦩")].slice(0, 2);
    expect(pieces(unfinished)).toEqual(["", "", "\ufffd"]);
  });

  test("special tokens are left out, or shown", () => {
    expect(pieces([1, ...tokenizer.encode("user"), 2]).join("")).toBe("user");
    expect(pieces([1, 2], { skipSpecialTokens: false }).join("")).toBe("<|im_start|><|im_end|>");
  });

  test("the text of each step is decoded from a few ids, however long it is", () => {
    let most = 0;
    const stream = new StreamingDetokenizer((ids) => {
      most = Math.max(most, ids.length);
      return tokenizer.decode(ids);
    });
    for (let i = 0; i < 500; i++) stream.push(3 + (i % 60));
    expect(most).toBeLessThan(40);
  });
});

describe("chats", () => {
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    tokenizer = await loadTokenizer(folder(join(tiny, "bpe")));
  });

  test.each(vectors.chats as { messages: []; prompt: boolean; text: string }[])(
    "as the original library, $#",
    ({ messages, prompt, text }) => {
      expect(tokenizer.chat(messages, { addGenerationPrompt: prompt })).toBe(text);
      expect(tokenizer.encodeChat(messages, { addGenerationPrompt: prompt })).toEqual(
        tokenizer.encode(text, { addSpecialTokens: false }),
      );
    },
  );

  test("a template of a GGUF header, and one of a file of its own", async () => {
    const [{ messages, text }] = vectors.chats;
    const fromHeader = await loadTokenizer(
      files(new Map([["m.gguf", readFileSync(join(tiny, "bpe.gguf"))]])),
    );
    expect(fromHeader.chat(messages)).toBe(text);
    const own = await loadTokenizer(
      source({
        "tokenizer.json": readFileSync(join(tiny, "bpe", "tokenizer.json"), "utf8"),
        "tokenizer_config.json": { chat_template: "old" },
        "chat_template.jinja": "{{ messages[0].content }}!{{ shout }}",
      }),
    );
    expect(own.chat(messages, { variables: { shout: "!" } })).toBe("Hi!!");
  });

  test("tools choose their template", () => {
    const messages = [{ role: "user", content: "x" }];
    expect(tokenizer.chatTemplates).toEqual(["default", "tool_use"]);
    expect(tokenizer.chat(messages, { tools: [{ name: "f" }] })).toBe('[{"name": "f"}]|user:x');
    expect(tokenizer.chat(messages, { template: "tool_use" })).toBe("null|user:x");
    expect(() => tokenizer.chat(messages, { template: "rag" })).toThrow(/no chat template "rag"/);
  });

  test("a role that nobody knows, an order that the template refuses, and no template are one error each", async () => {
    const refuse = (messages: { role: string; content: string }[], message: RegExp) => {
      expect(() => tokenizer.chat(messages)).toThrow(ChatError);
      expect(() => tokenizer.chat(messages)).toThrow(message);
    };
    refuse(
      [{ role: "wizard", content: "x" }],
      /message 0 has the role "wizard", which the model's template does not know/,
    );
    refuse([{ role: "assistant", content: "x" }], /refuses the messages: roles must alternate/);
    refuse([], /there are no messages/);
    const plain = await loadTokenizer(folder(join(tiny, "wordpiece")));
    expect(() => plain.chat([{ role: "user", content: "x" }])).toThrow(/has no chat template/);
    expect(() => tokenizer.chat("hello" as never)).toThrow(ArgumentError);
  });
});

test("missing and damaged files are named", async () => {
  await expect(loadTokenizer(source({}))).rejects.toThrow(FileError);
  await expect(loadTokenizer(source({ "tokenizer.model": "" }))).rejects.toThrow(
    /tokenizer.model alone is not read/,
  );
  await expect(loadTokenizer(source({ "tokenizer.json": "{" }))).rejects.toThrow(/tokenizer.json is no JSON/);
  await expect(loadTokenizer(source({ "tokenizer.json": [] }))).rejects.toThrow(/holds no object/);
  for (const odd of [
    {},
    { model: { type: "BPE" } },
    { model: { type: "Nothing", vocab: {} } },
    { model: null },
  ]) {
    await expect(loadTokenizer(source({ "tokenizer.json": odd })), JSON.stringify(odd)).rejects.toThrow(
      FormatError,
    );
  }
  const reason = new Error("enough");
  const aborted = loadTokenizer(folder(join(tiny, "bpe")), { signal: AbortSignal.abort(reason) });
  await expect(aborted).rejects.toBe(reason);
});

/** Larger vocabularies with vectors of llama.cpp, where they are. */
const shared = join(here, "..", "..", "..", "shared", "data", "tokenizers");
const left = existsSync(shared) ? "" : `(left out: there is no ${shared})`;
describe.skipIf(left !== "")(`published vocabularies ${left}`, () => {
  const read = (...path: string[]) => readFileSync(join(shared, ...path), "utf8");
  const lists = (name: string) => {
    const texts = read("vectors", `${name}.inp`).split("\n__ggml_vocab_test__\n");
    const ids = read("vectors", `${name}.out`).split("\n");
    return texts.map((text, i) => [text, ids[i].trim().split(/\s+/).filter(Boolean).map(Number)] as const);
  };

  test.each([
    ["gpt-2", "gpt2"],
    ["bert-bge", "bert-base-uncased"],
  ])("%s", async (name, directory) => {
    const tokenizer = await loadTokenizer(folder(join(shared, directory)));
    for (const [text, ids] of lists(name)) {
      expect([...tokenizer.encode(text, { addSpecialTokens: false })], JSON.stringify(text)).toEqual(ids);
    }
  });
});

const smollm2 = realModel("smollm2");
test.skipIf(smollm2.missing)(`SmolLM2's chat from its GGUF header ${smollm2.missing ?? ""}`, async () => {
  const tokenizer = await loadTokenizer(folder(smollm2.path));
  const ids = [...tokenizer.encodeChat([{ role: "user", content: "What is the capital of France?" }])];
  expect(ids).toHaveLength(37);
  expect(ids.slice(0, 4)).toEqual([1, 9690, 198, 2683]);
  expect(ids.slice(-3)).toEqual([520, 9531, 198]);
  expect(tokenizer.decode([504, 3575, 282, 4649, 314, 7042, 30, 2])).toBe("The capital of France is Paris.");
});

describe("a vocabulary of words", () => {
  const wordLevel = (unknown: string | undefined) =>
    loadTokenizer(
      source({
        "tokenizer.json": {
          added_tokens: [],
          normalizer: null,
          pre_tokenizer: { type: "Whitespace" },
          post_processor: null,
          decoder: null,
          model: { type: "WordLevel", unk_token: unknown, vocab: { "<unk>": 0, to: 1, be: 2 } },
        },
      }),
    );

  test("gives other words the id of the unknown token", async () => {
    expect([...(await wordLevel("<unk>")).encode("to be or be")]).toEqual([1, 2, 0, 2]);
  });

  test("without such a token refuses them", async () => {
    const tokenizer = await wordLevel(undefined);
    expect([...tokenizer.encode("be to")]).toEqual([2, 1]);
    expect(() => tokenizer.encode("to be or")).toThrow(ArgumentError);
  });
});
