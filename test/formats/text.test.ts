import fc from "fast-check";
import { expect, test } from "vitest";
import { ArgumentError } from "../../src/core/errors.js";
import { CharTokenizer } from "../../src/formats/text.js";

test("the vocabulary is the sorted set of characters", () => {
  const tokenizer = CharTokenizer.fromText("hello");
  expect(tokenizer.vocabulary).toEqual(["e", "h", "l", "o"]);
  expect(tokenizer.size).toBe(4);
  expect(tokenizer.encode("hole")).toEqual(Int32Array.of(1, 3, 2, 0));
});

test("decode undoes encode, characters outside the basic plane included", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const tokenizer = CharTokenizer.fromText(text);
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
      expect(new CharTokenizer(tokenizer.vocabulary).encode(text)).toEqual(tokenizer.encode(text));
    }),
  );
});

test("what is not in the vocabulary is named", () => {
  const tokenizer = CharTokenizer.fromText("ab");
  expect(() => tokenizer.encode("abc")).toThrow(/"c" at 2/);
  expect(() => tokenizer.decode([0, 2])).toThrow(/id 2 at 1/);
  expect(() => tokenizer.decode([-1])).toThrow(ArgumentError);
  expect(() => new CharTokenizer(["a", "a"])).toThrow(ArgumentError);
  expect(() => new CharTokenizer(["ab"])).toThrow(ArgumentError);
});
