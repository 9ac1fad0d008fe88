/** Texts as rows of ids for a model: no longer than it takes, in windows where all of a text is wanted. */
import { anArray, aString, check } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { Assembled, Tokenizer, TokenSpan } from "../text/index.js";

/** A text that was longer than its model takes: its end was left out. */
export interface Truncation {
  /** Of the text among those of the call. */
  readonly index: number;
  /** Of the whole text, the model's own tokens included. */
  readonly tokens: number;
  readonly kept: number;
}

/** Called for a text that was too long. */
export type OnTruncate = (event: Truncation) => void;

/** A text, or two that belong together. */
export interface TextPair {
  readonly text: string;
  readonly textPair: string;
}

/** Which text loses tokens where two are too long: the longer one, then both in turn; or only the first. */
export type Strategy = "longestFirst" | "onlyFirst";

/** What one text and its options are to a call that takes one or several. */
export interface Batch<T> {
  readonly items: readonly T[];
  /** Whether several were given, so that several are returned. */
  readonly isList: boolean;
}

/** @throws ArgumentError for what is neither a text nor a list of texts. */
export function textsOf(op: string, given: string | readonly string[]): Batch<string> {
  if (typeof given === "string") return { items: [given], isList: false };
  check(op, "the text", given, ["a string, or an array of strings", Array.isArray]);
  for (const [i, text] of given.entries()) check(op, `text ${i}`, text, aString);
  return { items: given, isList: true };
}

/** A list that was given as an array, or as one item. */
export function listOf<T>(op: string, what: string, given: T | readonly T[]): readonly T[] {
  return typeof given === "object"
    ? (check(op, what, given as readonly T[], anArray) as readonly T[])
    : [given];
}

/** A text as a model gets it. */
export interface Row extends Assembled {
  /** Of the ids before something was left out. */
  readonly length: number;
}

/**
 * The ids of a text, or of two, at most `maxLength` with the model's own.
 * @throws ArgumentError if there is no room for a token of each text, or no token at all.
 */
export function encodeText(
  op: string,
  tokenizer: Tokenizer,
  text: string | TextPair,
  maxLength: number | undefined,
  strategy: Strategy = "longestFirst",
): Row {
  const isPair = typeof text !== "string";
  const plain = (part: string) => tokenizer.encode(part, { addSpecialTokens: false });
  const lists = isPair ? [plain(text.text), plain(text.textPair)] : [plain(text)];
  const own = tokenizer.assemble([], isPair ? [] : undefined).ids.length;
  const whole = own + lists.reduce((sum, { length }) => sum + length, 0);
  let kept = lists;
  if (maxLength !== undefined && whole > maxLength) {
    const lengths = keptLengths(
      lists.map(({ length }) => length),
      maxLength - own,
      strategy,
    );
    if (lengths.some((length) => length < 1)) {
      throw new ArgumentError(`the model takes ${maxLength} tokens, too few for these texts`, { op });
    }
    kept = lists.map((ids, i) => ids.subarray(0, lengths[i]));
  }
  const row = tokenizer.assemble(kept[0], kept[1]);
  if (row.ids.length > 0) return { ...row, length: whole };
  throw new ArgumentError("the text is empty", { op, hint: "it has no token, and the model adds none" });
}

/** As the original library's `truncate_encodings`. */
function keptLengths(lengths: readonly number[], room: number, strategy: Strategy): number[] {
  if (lengths.length === 1) return [room];
  const [first, second] = lengths;
  if (strategy === "onlyFirst") return [room - second, second];
  const [short, long] = [Math.min(first, second), Math.max(first, second)];
  const shorter = short + short > room ? Math.floor(room / 2) : short;
  const longer = Math.min(long, room - shorter);
  return first <= second ? [shorter, longer] : [longer, shorter];
}

/** Calls `onTruncate` for a row that is shorter than its text. */
export function tell({ ids, length }: Row, index: number, onTruncate: OnTruncate): void {
  if (length > ids.length) onTruncate({ index, tokens: length, kept: ids.length });
}

/** Ranges of `length` tokens with at most `size`; each begins `stride` tokens before the end of the one before. */
export function windowsOf(length: number, size: number, stride: number): [start: number, end: number][] {
  const windows: [number, number][] = [];
  for (let start = 0; ; start += size - stride) {
    windows.push([start, Math.min(start + size, length)]);
    if (start + size >= length) return windows;
  }
}

/** The places of a row's tokens in their texts; undefined for the model's own tokens. */
export function placesIn(
  { parts }: Assembled,
  spans: readonly (readonly TokenSpan[])[],
): (TokenSpan | undefined)[] {
  const next = spans.map(() => 0);
  return Array.from(parts, (part) => (part < 0 ? undefined : spans[part][next[part]++]));
}
