/** Tokens in a text. In a file without the engine, whose declarations the package's types do not need. */

/** A token and its place in the text. */
export interface TokenSpan {
  readonly id: number;
  /** As it is written in the vocabulary. */
  readonly token: string;
  /** In UTF-16 units: `text.slice(start, end)`. */
  readonly start: number;
  readonly end: number;
  /** Number of the word that the token is part of: what the tokenizer splits before it looks into its vocabulary. */
  readonly word: number;
}

/** A token without its id. */
export type Placed = Omit<TokenSpan, "id">;
