/** The bytes of tokens, put together, are the text. */
import { expect, test } from "vitest";
import { folder } from "../../src/hub/index.js";
import { loadTokenizer } from "../../src/text/index.js";
import { tokenBytesOf } from "../../src/text/token_bytes.js";

test("of byte-level BPE", async () => {
  const tokenizer = await loadTokenizer(folder(new URL("tiny/bpe", import.meta.url).pathname));
  for (const text of ["The quick brown fox", " ü😀 日本\n\tx", "\u00ad\u0000~"]) {
    const ids = tokenizer.encode(text, { addSpecialTokens: false });
    const bytes = [...ids].flatMap((id) => [...tokenizer.bytes(id)!]);
    expect(new TextDecoder().decode(Uint8Array.from(bytes))).toBe(text);
  }
  expect(tokenizer.bytes(tokenizer.size)).toBeUndefined();
  for (const { id } of Object.values(tokenizer.special)) expect(tokenizer.bytes(id)).toBeUndefined();
});

test("of vocabularies with ▁ and <0xF0>", () => {
  const bytesOf = tokenBytesOf({ decoder: { type: "Sequence", decoders: [{ type: "ByteFallback" }] } });
  expect([...bytesOf("<0xF0>")]).toEqual([0xf0]);
  expect(new TextDecoder().decode(bytesOf("▁über"))).toBe(" über");
});
