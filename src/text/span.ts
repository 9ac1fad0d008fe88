/** Tokens with offsets. A file of its own, so that the package's types do not need those of the tokenizer library. */

/** A token and its place in the text. */
export interface TokenSpan {
  readonly id: number;
  /** The token as written in the vocabulary. */
  readonly token: string;
  /** Offsets in UTF-16 units: `text.slice(start, end)`. */
  readonly start: number;
  readonly end: number;
  /** Index of the token's word, as split by the pre-tokenizer. */
  readonly word: number;
}

/** A token without its id. */
export type Placed = Omit<TokenSpan, "id">;
