/** Whether a tokenizer belongs to a model. */
import { type ErrorDetails, WattgradError } from "../core/errors.js";

/**
 * A tokenizer with more tokens than the model has rows for: it is another model's.
 *
 * @example
 * const tokens = new TokenizerMismatchError("the tokenizer has 3 tokens, the model 2");
 * tokens.code; // "TOKENIZER_MISMATCH"
 */
export class TokenizerMismatchError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("TOKENIZER_MISMATCH", message, details);
  }
}

/** The largest id of a tokenizer and one; `Tokenizer` of wattgrad/text has it. */
export interface SizedTokenizer {
  readonly size: number;
}

/** Tables of models are often larger, in multiples of 64. @throws TokenizerMismatchError */
export function requireVocabulary(
  op: string,
  tokenizer: Partial<SizedTokenizer> | undefined,
  vocabulary: number | undefined,
  label: string,
): void {
  const { size = 0 } = tokenizer ?? {};
  if (vocabulary === undefined || size <= vocabulary) return;
  throw new TokenizerMismatchError(
    `the tokenizer has ${size} tokens, ${label} ${vocabulary}: they are not of one model`,
    { op, hint: "load both from one source" },
  );
}
