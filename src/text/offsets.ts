/**
 * Offsets of tokens in their text. @huggingface/tokenizers does not report them, so its encoding steps are repeated here, each of them
 * tracking positions.
 */
import type { Tokenizer as Engine } from "@huggingface/tokenizers";
import { ArgumentError } from "../core/errors.js";
import type { JsonObject } from "./parts.js";
import type { Placed } from "./span.js";

/** A character (or byte of one) of the normalized text, with the range of the original text it came from. */
interface Unit {
  readonly symbol: string;
  readonly start: number;
  readonly end: number;
}

/** Space in SentencePiece vocabularies. */
const metaspace = "\u2581";
/** Space in byte-level vocabularies. */
const byteSpace = "\u0120";

/**
 * The tokens of a text in order, without the special tokens around it.
 * @throws ArgumentError for tokenizers with steps that have no counterpart here.
 */
export function placedTokens(engine: Engine, json: JsonObject, text: string): Placed[] {
  const bytes = hasType(json.pre_tokenizer, "ByteLevel");
  const trims = trimsOffsets(json.post_processor);
  const placed: Placed[] = [];
  let word = 0;
  for (const { part, start, isAdded, index } of sections(engine, text)) {
    if (isAdded) {
      placed.push({ token: part, start, end: start + part.length, word: word++ });
      continue;
    }
    const normalize = (piece: string) => engine.normalizer?.normalize(piece) ?? piece;
    const normalized = normalize(part);
    if (normalized === "") continue;
    const words = engine.pre_tokenizer?.pre_tokenize(normalized, { section_index: index }) ?? [normalized];
    const units = unitsOf(part, start, normalize, normalized).flatMap((unit) =>
      bytes ? bytesOf(unit) : [unit],
    );
    let at = 0;
    for (const each of words) {
      const own = take(each, units, at);
      at = own.next;
      const tokens = (engine.model as unknown as (words: string[]) => string[])([each]);
      placed.push(...placeTokens(tokens, own.units, engine, json, trims).map((span) => ({ ...span, word })));
      word++;
    }
  }
  const expected = engine.tokenize(text);
  if (expected.length === placed.length && expected.every((token, i) => token === placed[i].token)) {
    return placed;
  }
  throw new ArgumentError("the places of this tokenizer's tokens cannot be found", { op: "spans" });
}

/** Segment of a text: an added token, or the text between two of them. */
interface Section {
  readonly part: string;
  readonly start: number;
  readonly isAdded: boolean;
  readonly index: number;
}

function sections(engine: Engine, text: string): Section[] {
  const added = [...engine.get_added_tokens_decoder().values()]
    .map(({ content }) => content)
    .filter((content) => content !== "")
    .sort((a, b) => b.length - a.length)
    .map((content) => content.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  if (added.length === 0) return [{ part: text, start: 0, isAdded: false, index: 0 }];
  const result: Section[] = [];
  let start = 0;
  for (const [index, part] of text.split(new RegExp(`(${added.join("|")})`)).entries()) {
    if (part !== "") result.push({ part, start, isAdded: index % 2 === 1, index });
    start += part.length;
  }
  return result;
}

/** Characters of the normalized text. Normalizers change single characters or clusters (a letter with its marks). */
function unitsOf(
  text: string,
  offset: number,
  normalize: (text: string) => string,
  normalized: string,
): Unit[] {
  const pieces = (pattern: RegExp) =>
    [...text.matchAll(pattern)].flatMap(({ 0: piece, index }) => {
      const [start, end] = [offset + index, offset + index + piece.length];
      const symbols = [...normalize(piece)];
      return symbols.map((symbol) => ({ symbol, start, end }));
    });
  const single = pieces(/./gsu);
  for (const units of [single, pieces(/.\p{M}*/gsu)]) {
    if (units.map(({ symbol }) => symbol).join("") === normalized) return units;
  }
  // Normalizers of the whole text (strip, prepend): added characters have width 0, removed ones are skipped.
  let at = 0;
  return [...normalized].map((symbol) => {
    const found = indexFrom(single, symbol, at);
    if (found >= 0 && found - at < farthest) {
      at = found + 1;
      return { ...single[found], symbol };
    }
    const place = single[at]?.start ?? offset + text.length;
    return { symbol, start: place, end: place };
  });
}

/** Upper bound of the characters that a normalizer removes at one place. */
const farthest = 8;

function indexFrom(units: readonly Unit[], symbol: string, from: number): number {
  for (let i = from; i < units.length; i++) if (isSame(units[i].symbol, symbol)) return i;
  return -1;
}

const isSame = (a: string, b: string) => a === b || (b === metaspace && a === " ");

/** Characters of bytes in vocabularies (GPT-2's `bytes_to_unicode`): printable bytes map to themselves, others to 256 and up. */
const byteSymbols: readonly string[] = (() => {
  const isPlain = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPlain(byte) ? byte : next++));
})();

const isByteSymbol = new Set(byteSymbols);

/** A token as written in byte-level vocabularies; plain text is converted. */
export function asByteSymbols(token: string): string {
  const symbols = [...token];
  if (symbols.every((symbol) => isByteSymbol.has(symbol))) return token;
  return Array.from(new TextEncoder().encode(token), (byte) => byteSymbols[byte]).join("");
}

function bytesOf({ symbol, start, end }: Unit): Unit[] {
  const bytes = [...new TextEncoder().encode(symbol)];
  return bytes.map((byte) => ({ symbol: byteSymbols[byte], start, end }));
}

/** Units of the word at `at`, and the start of the next word. */
function take(word: string, units: readonly Unit[], at: number): { units: Unit[]; next: number } {
  const own: Unit[] = [];
  let next = at;
  for (const [i, symbol] of [...word].entries()) {
    const found = indexFrom(units, symbol, next);
    // A prepended space is not in the text.
    const isExtra = i === 0 && (symbol === metaspace || symbol === byteSpace) && found !== next;
    if (found < 0 || isExtra) {
      const place = units[next]?.start ?? units.at(-1)?.end ?? 0;
      own.push({ symbol, start: place, end: place });
    } else {
      own.push({ ...units[found], symbol });
      next = found + 1;
    }
  }
  return { units: own, next };
}

/** Maps the tokens of a word to its units; an unknown token covers everything up to the next known one. */
function placeTokens(
  tokens: readonly string[],
  units: readonly Unit[],
  engine: Engine,
  json: JsonObject,
  trims: boolean,
): Omit<Placed, "word">[] {
  const unknown = (engine.model as unknown as { unk_token?: string }).unk_token;
  const { continuing_subword_prefix: prefix, end_of_word_suffix: suffix } = (json.model ?? {}) as Partial<
    Record<string, string | null>
  >;
  const surface = (token: string, i: number) => {
    let text = token;
    if (prefix && i > 0 && text.startsWith(prefix)) text = text.slice(prefix.length);
    if (suffix && text.endsWith(suffix)) text = text.slice(0, -suffix.length);
    return [...text];
  };
  const isAt = (symbols: readonly string[], at: number) =>
    symbols.every((symbol, k) => units[at + k]?.symbol === symbol);
  let at = 0;
  let byte = 0;
  return tokens.map((token, i) => {
    let end: number;
    if (token !== unknown && isAt(surface(token, i), at)) end = at + surface(token, i).length;
    else if (/^<0x[0-9A-F]{2}>$/.test(token)) {
      byte++;
      end = at;
      if (byte >= new TextEncoder().encode(units[at]?.symbol ?? "").length) [end, byte] = [at + 1, 0];
      const unit = units[at] ?? units[units.length - 1];
      at = end;
      return { token, start: unit?.start ?? 0, end: unit?.end ?? 0 };
    } else if (i === tokens.length - 1) end = units.length;
    else {
      const following = surface(tokens[i + 1], i + 1);
      end = at + 1;
      if (tokens[i + 1] !== unknown) while (end < units.length && !isAt(following, end)) end++;
    }
    const own = units.slice(at, end);
    at = end;
    return { token, ...extentOf(own, trims) };
  });
}

function extentOf(units: readonly Unit[], trims: boolean): { start: number; end: number } {
  if (units.length === 0) return { start: 0, end: 0 };
  const isSpace = ({ symbol }: Unit) => symbol === byteSpace || /\s/u.test(symbol);
  const [all, last] = [units[0], units[units.length - 1]];
  if (!trims) return { start: all.start, end: last.end };
  const first = units.findIndex((unit) => !isSpace(unit));
  if (first < 0) return { start: last.end, end: last.end };
  const final = units.findLastIndex((unit) => !isSpace(unit));
  return { start: units[first].start, end: units[final].end };
}

/** Whether a tokenizer component is of a type, or contains one. */
export function hasType(part: unknown, type: string): boolean {
  const { type: own, pretokenizers, decoders } = (part ?? {}) as Partial<Record<string, unknown>>;
  const parts = [pretokenizers, decoders].flatMap((list) => (Array.isArray(list) ? list : []));
  return own === type || parts.some((each) => hasType(each, type));
}

/** Whether offsets exclude leading and trailing spaces of a token. */
function trimsOffsets(part: unknown): boolean {
  const { trim_offsets, processors } = (part ?? {}) as { trim_offsets?: unknown; processors?: unknown };
  return trim_offsets === true || (Array.isArray(processors) && processors.some(trimsOffsets));
}
