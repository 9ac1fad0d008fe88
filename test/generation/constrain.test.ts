/** Constraints: texts that they accept, and outputs of a random model that always have the form. */
import { describe, expect, test } from "vitest";
import { openWasm } from "../../src/device/wasm/wasm.js";
import { generate, jsonSchema, regex } from "../../src/generation/index.js";
import { folder } from "../../src/hub/index.js";
import { type CausalModel, fromPretrained } from "../../src/models/index.js";
import { loadTokenizer } from "../../src/text/index.js";
import { fixtureSource } from "../models/fixture.js";
import { realModel } from "../real_models.js";
import "../../src/ops/methods.js";

/** Pieces for the 61 ids of the tiny models; some cross the borders of strings and pairs, two are halves of a character. */
const pieces = [
  ...[
    '{"',
    '": ',
    '", "',
    '"}',
    '":',
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    '"',
    " ",
    "true",
    "fal",
    "se",
    "null",
    "nu",
    "ll",
  ],
  ...[
    "-",
    "1",
    "2",
    "30",
    "4",
    "0",
    ".5",
    ".",
    "e",
    "a",
    "b",
    "name",
    "age",
    "tags",
    "x",
    "zz",
    "\\",
    "n",
    "s",
    "u",
    "l",
  ],
  ...["red", "green", "bl", "ue", "r", "g", "d", "t", "f", "m", "id", "1-", "i", "o", "c", "k", "É", "日"],
];
const encoder = new TextEncoder();
const eos = 2;
const tokenizer = {
  size: 61,
  bytes(id: number): Uint8Array | undefined {
    if (id < 3) return undefined;
    if (id === 59) return Uint8Array.of(0xc3);
    if (id === 60) return Uint8Array.of(0xbc);
    return pieces[id - 3] === undefined ? undefined : encoder.encode(pieces[id - 3]);
  },
  decode(ids: readonly number[]): string {
    return new TextDecoder().decode(Uint8Array.from(ids.flatMap((id) => [...(tokenizer.bytes(id) ?? [])])));
  },
};

describe("regular expressions", () => {
  test.each([
    [/yes|no/, ["yes", "no"], ["", "ye", "yesno"]],
    [/a{2,3}b*/, ["aa", "aaabbb"], ["a", "aaaa", "ab"]],
    [/(ab|c)+?d?$/, ["ab", "cabd"], ["d", ""]],
    [/^[^a-c\d]$/, ["x", "ü", "日", "😀"], ["a", "7", "xx"]],
    [/\w+@\w+\.(com|org)/, ["me@here.org"], ["me@here", "@x.com"]],
    [/[à-ü😀-😏]{2}/u, ["éü", "😀😏"], ["é", "ab"]],
    [/./s, ["\n", "a"], [""]],
    [/.\./, ["a."], ["\n.", "ab"]],
    [/\x41\u0042\u{43}\t\[\]\/-/u, ["ABC\t[]/-"], ["ABC"]],
    [/(?<year>\d{4})-(?:0[1-9]|1[0-2])/, ["2026-11"], ["2026-13"]],
    ["", [""], ["a"]],
    [/[\s\S]*x/, ["x", "ab\nx"], ["xa"]],
    [/[\]\-a]+/, ["]-a"], ["b"]],
  ] as const)("%s", (pattern, right, wrong) => {
    const constraint = regex(pattern);
    for (const text of right) expect(constraint.accepts(text), text).toBe(true);
    for (const text of wrong) expect(constraint.accepts(text), text).toBe(false);
  });

  test("agrees with RegExp on random texts", () => {
    const patterns = ["(a|b)*abb", "a?b{1,2}[^b]c*", "(ab?|b)*a", "[ab]{2}(c|ca)+", "a(b|c|)a*", "(a*b)*c?"];
    let seed = 1;
    const below = (n: number) => {
      seed = (seed * 48271) % 2147483647;
      return seed % n;
    };
    for (const pattern of patterns) {
      const [ours, theirs] = [regex(pattern), new RegExp(`^(?:${pattern})$`)];
      for (let i = 0; i < 400; i++) {
        const text = Array.from({ length: below(9) }, () => "abc"[below(3)]).join("");
        expect(ours.accepts(text), `/${pattern}/ on ${text}`).toBe(theirs.test(text));
      }
    }
  });

  test("every code point but surrogates has its encoding", () => {
    const [any, some] = [regex(/./s), regex(/[\u{80}-\u{fffe}]/u)];
    for (let code = 0; code <= 0x10ffff; code += code < 0x900 ? 1 : 97) {
      if (code >= 0xd800 && code <= 0xdfff) continue;
      const text = String.fromCodePoint(code);
      expect(any.accepts(text)).toBe(true);
      expect(some.accepts(text)).toBe(code >= 0x80 && code <= 0xfffe);
    }
  });

  test("what is wrong or not supported has its place", () => {
    for (const pattern of [
      "(?=a)",
      "(a)\\1",
      "\\bword",
      "a**",
      "(a",
      "a)",
      "[b-a]",
      "[]",
      "a{3,2}",
      "\\p{L}",
      "*",
      "a|?",
    ]) {
      expect(() => regex(pattern), pattern).toThrow(/\/ at \d+: /);
    }
    expect(() => regex(/a/i)).toThrow(/the flag i/);
  });
});

const schema = {
  type: "object",
  properties: {
    name: { type: "string", maxLength: 6 },
    age: { type: "integer", minimum: 0 },
    color: { enum: ["red", "green", "blue"] },
    tags: { type: "array", items: { anyOf: [{ type: "boolean" }, { type: "null" }] }, maxItems: 3 },
    id: { $ref: "#/$defs/id" },
  },
  required: ["name", "tags"],
  $defs: { id: { type: ["number", "null"] } },
};

describe("JSON schemas", () => {
  test("texts", () => {
    const constraint = jsonSchema(schema);
    const right = [
      { name: "", tags: [] },
      { name: 'a"b\\\n', age: 0, color: "blue", tags: [true, null, false], id: -1.5e3 },
      { name: "日ü", tags: [null], id: null },
    ];
    for (const value of right) {
      expect(constraint.accepts(JSON.stringify(value)), JSON.stringify(value)).toBe(true);
      const spaced = JSON.stringify(value, null, 1)
        .replaceAll(/\n\s*/g, "")
        .replaceAll(/,(?=[^ ])/g, ", ");
      expect(constraint.accepts(spaced), spaced).toBe(true);
    }
    const wrong = [
      '{"tags":[]}',
      '{"name":"abcdefg","tags":[]}',
      '{"name":"a","age":-1,"tags":[]}',
      '{"name":"a","age":01,"tags":[]}',
      '{"name":"a","tags":[true,true,true,true]}',
      '{"name":"a","tags":[],"more":1}',
      '{"name":"a\n","tags":[]}',
      '{"name":"a","tags":[],}',
      '{"name":"a" "tags":[]}',
      "{}",
    ];
    for (const text of wrong) expect(constraint.accepts(text), text).toBe(false);
  });

  test("properties of which none or the first are required", () => {
    const properties = { a: { const: 1 }, b: { const: 2 }, c: { const: 3 } };
    const texts = ["{}", '{"a":1}', '{"b":2}', '{"a":1,"c":3}', '{"b":2,"c":3}', '{"a":1,"b":2,"c":3}'];
    const accepted = (required: readonly string[]) =>
      texts.map((text) => jsonSchema({ properties, required }).accepts(text));
    expect(accepted([])).toEqual([true, true, true, true, true, true]);
    expect(accepted(["b"])).toEqual([false, false, true, false, true, true]);
    expect(accepted(["a", "c"])).toEqual([false, false, false, true, false, true]);
  });

  test("arrays, maps, patterns and formats", () => {
    const accepts = (given: object, value: unknown) =>
      jsonSchema({ ...given }).accepts(JSON.stringify(value));
    const pair = { type: "array", prefixItems: [{ type: "integer" }, { type: "null" }], minItems: 2 };
    expect([[1, null], [1], [1, null, 3]].map((value) => accepts(pair, value))).toEqual([true, false, false]);
    const list = { items: { type: "integer" }, minItems: 1, maxItems: 2 };
    expect([[], [1], [1, 2], [1, 2, 3]].map((value) => accepts(list, value))).toEqual([
      false,
      true,
      true,
      false,
    ]);
    const map = { type: "object", additionalProperties: { type: "integer" } };
    expect([{}, { a: 1, 'b"': 2 }, { a: "x" }].map((value) => accepts(map, value))).toEqual([
      true,
      true,
      false,
    ]);
    const quoted = { type: "string", pattern: '["\\\\\\d]+' };
    expect(['"1\\', "a"].map((value) => accepts(quoted, value))).toEqual([true, false]);
    expect(accepts({ type: "string", format: "date-time" }, "2026-11-30T20:15:00Z")).toBe(true);
    expect(accepts({ type: "string", format: "date" }, "2026-13-30")).toBe(false);
  });

  test("what is not supported is named, with its place", () => {
    const wrong: readonly [object, RegExp][] = [
      [{ type: "string", contentEncoding: "base64" }, /#: contentEncoding is not supported/],
      [{ properties: { a: { type: "integer", multipleOf: 3 } } }, /#\/properties\/a: multipleOf/],
      [{}, /#: a type is needed/],
      [{ $ref: "#/$defs/no" }, /there is no #\/\$defs\/no/],
      [{ $ref: "other.json" }, /not in the schema itself/],
      [{ $defs: { a: { items: { $ref: "#/$defs/a" } } }, $ref: "#/$defs/a" }, /contains itself/],
      [{ properties: { a: { type: "null" } }, required: ["b"] }, /required property b/],
      [{ type: "integer", minimum: 3 }, /only 0/],
    ];
    for (const [given, message] of wrong) expect(() => jsonSchema({ ...given })).toThrow(message);
  });
});

test("outputs of random models have the form, whatever the sampling, the length and the processors", async () => {
  const device = await openWasm();
  const constraints = [
    jsonSchema(schema),
    regex(/(red|green|blue|\d+(\.\d+)?)( (a|b|ü|É|日)*)?/),
    regex(/[^"]{4,9}/),
  ];
  for (const name of ["llama", "gpt2"]) {
    const { model } = await fromPretrained<CausalModel>(fixtureSource(name), { device });
    for (const constraint of constraints) {
      for (const [maxNewTokens, count] of [
        [26, 12],
        [50, 6],
      ]) {
        const result = await generate(model, {
          inputIds: [5, 7, 11],
          ...{ tokenizer, constraint, maxNewTokens, eosTokenId: eos, numReturnSequences: count },
          ...{ doSample: true, temperature: 1.7, topK: 0, seed: maxNewTokens, repetitionPenalty: 1.2 },
        }).finish();
        for (const { text, reason } of result.sequences[0]) {
          expect(constraint.accepts(text!), text).toBe(true);
          expect(["eos", "stop", "length"]).toContain(reason);
          if (constraint === constraints[0]) expect(JSON.parse(text!)).toHaveProperty("tags");
        }
      }
      const greedy = { inputIds: [9], tokenizer, constraint, maxNewTokens: 40 };
      const [[plain]] = (await generate(model, greedy).finish()).sequences;
      expect(constraint.accepts(plain.text!), plain.text).toBe(true);
      const drafted = await generate(model, { ...greedy, promptLookupNumTokens: 5 }).finish();
      expect(drafted.sequences[0][0]).toEqual(plain);
    }
    model.dispose();
  }
  device.close();
});

test("a constraint needs bytes of tokens, and no beams", async () => {
  const device = await openWasm();
  const { model } = await fromPretrained<CausalModel>(fixtureSource("llama"), { device });
  const constraint = regex("a+");
  const given = { inputIds: [5], constraint };
  expect(() => generate(model, given)).toThrow(/bytes/);
  expect(() => generate(model, { ...given, tokenizer: { decode: () => "" } })).toThrow(/bytes/);
  expect(() => generate(model, { ...given, tokenizer, numBeams: 2 })).toThrow(/no beams/);
  expect(() => generate(model, { inputIds: [5], constraint: /a/ as never })).toThrow(/constraint/);
  const other = generate(model, { ...given, constraint: regex("Q+"), tokenizer });
  await expect(other.finish()).rejects.toThrow(/no token of the vocabulary/);
  device.close();
});

const real = realModel("smollm2");
test.skipIf(real.missing)(`SmolLM2 answers in JSON ${real.missing ?? ""}`, async () => {
  const device = await openWasm();
  const source = folder(real.path);
  const [{ model }, speaker] = [
    await fromPretrained<CausalModel>(source, { device }),
    await loadTokenizer(source),
  ];
  const chat = [{ role: "user", content: "Name the capital of France and its population, as JSON." }];
  const constraint = jsonSchema({
    properties: { city: { type: "string", maxLength: 20 }, population: { type: "integer" } },
    required: ["city", "population"],
  });
  const inputIds = [...speaker.encodeChat(chat)];
  const generation = generate(model, { inputIds, tokenizer: speaker, constraint, maxNewTokens: 40 });
  const [[{ text, reason }]] = (await generation.finish()).sequences;
  console.info(text);
  expect(JSON.parse(text!)).toMatchObject({ city: expect.stringContaining("Paris") });
  expect(reason).toBe("stop");
  model.dispose();
  device.close();
});
