/** Text of generations in pieces. */
import { expect, test } from "vitest";
import { openWasm } from "../../src/device/wasm/wasm.js";
import { generate } from "../../src/generation/index.js";
import { SequenceText } from "../../src/generation/sequence_text.js";
import { type CausalModel, fromPretrained } from "../../src/models/index.js";
import { fixtureSource } from "../models/fixture.js";
import "../../src/ops/methods.js";

/** Ids are bytes. */
const bytes = { decode: (ids: readonly number[]) => new TextDecoder().decode(Uint8Array.from(ids)) };

function piecesOf(text: string, stops: readonly string[]) {
  const sequence = new SequenceText(bytes, stops);
  const pieces: string[] = [];
  let isStopped = false;
  for (const byte of new TextEncoder().encode(text)) {
    isStopped = sequence.push(byte);
    if (isStopped) break;
    pieces.push(sequence.take(false));
  }
  sequence.end();
  pieces.push(sequence.take(true));
  return { pieces, text: sequence.text, isStopped };
}

test("no piece has half a character, or what may become a stop text", () => {
  const { pieces, text } = piecesOf("a😀ü END, no: ENDE!", ["ENDE?", "\n"]);
  expect(pieces.join("")).toBe("a😀ü END, no: ENDE!");
  expect(text).toBe("a😀ü END, no: ENDE!");
  expect(pieces.every((piece) => !piece.includes("\ufffd"))).toBe(true);
  // Held back until the comma, then given at once.
  expect(pieces).toContain("END,");
  expect(piecesOf("one. STOP two", ["STOP"])).toMatchObject({ text: "one. ", isStopped: true });
  expect(piecesOf("one. STOP two", ["STOP"]).pieces.join("")).toBe("one. ");
  expect(piecesOf("aab", ["aab"]).pieces.join("")).toBe("");
  expect(piecesOf("aaab", ["aab"]).pieces.join("")).toBe("a");
  // The bytes of a character that never became whole.
  const cut = new SequenceText(bytes, []);
  cut.push(0xf0);
  expect(cut.take(false)).toBe("");
  cut.end();
  expect(cut.take(true)).toBe("\ufffd");
});

test("text(): the pieces are the text, with stop texts, drafts and beams", async () => {
  const device = await openWasm();
  const { model } = await fromPretrained<CausalModel>(fixtureSource("llama"), { device });
  const tokenizer = { decode: (ids: readonly number[]) => ids.map((id) => `<${id}>`).join("") };
  const inputIds = [5, 7, 11];
  const plain = generate(model, { inputIds, maxNewTokens: 12, tokenizer });
  const [[{ text, ids }]] = (await plain.finish()).sequences;
  expect(text).toBe(tokenizer.decode(ids));
  const stop = `${ids[4]}><${ids[5]}`;
  for (const options of [
    {},
    { stop },
    { promptLookupNumTokens: 4 },
    { stop, promptLookupNumTokens: 4 },
    { numBeams: 2 },
  ]) {
    const generation = generate(model, { inputIds, maxNewTokens: 12, tokenizer, ...options });
    const pieces: string[] = [];
    for await (const piece of generation.text()) pieces.push(piece);
    const [[sequence]] = (await generation.finish()).sequences;
    expect(pieces.join("")).toBe(sequence.text);
    if ("stop" in options) expect(sequence.text).toBe(text!.slice(0, text!.indexOf(stop)));
  }
  expect(() => generate(model, { inputIds }).text()).toThrow(/tokenizer/);
  expect(() => generate(model, { inputIds: [[1], [2]], tokenizer }).text()).toThrow(/single sequence/);
  device.close();
});
