/** The interface of functions that change scores; `logits.ts` has the library's own. */

/** A sequence whose next token is scored. */
export interface Context {
  /** The prompt and what was generated. */
  readonly ids: readonly number[];
  /** Tokens of the prompt. */
  readonly promptLength: number;
}

/** Changes the scores [vocabulary] of the next token in place. */
export type LogitsProcessor = (scores: Float32Array, context: Context) => void;
