/** What a generation gives: its tokens, one by one, and the whole at its end. */
import type { Settings } from "./settings.js";

/** A new token of a sequence, as it is chosen. */
export interface GeneratedToken {
  /** Of which sequence: those of the first prompt come first. */
  readonly sequence: number;
  readonly token: number;
  /**
   * With a tokenizer: the text that is certain with this token, possibly none. It ends before a character that is not whole and before what
   * may become a stop text; the pieces of a sequence together are its text.
   */
  readonly text: string | undefined;
}

/** Why a sequence ended: a token that says so, a stop text or a complete constraint, the number of tokens, a context that is full. */
export type StopReason = "eos" | "stop" | "length" | "context";

/** A sequence that has ended. */
export interface GeneratedSequence {
  /** The new tokens; the one that ended the sequence is the last. */
  readonly ids: readonly number[];
  /** With a tokenizer: the text of the new tokens, without what follows a stop text, or it. */
  readonly text: string | undefined;
  readonly reason: StopReason;
  /** Of beam search: the sum of the log-probabilities, divided by length^lengthPenalty. */
  readonly score: number | undefined;
  /** With `outputScores`: the processed scores of each token. */
  readonly scores: readonly Float32Array[];
}

/** What a generation gives at its end. */
export interface GenerationResult {
  /** Of each prompt `numReturnSequences`, the best first. */
  readonly sequences: readonly (readonly GeneratedSequence[])[];
  /** The settings in effect. */
  readonly settings: Settings;
  /** Keys of generation_config.json that would change tokens and are not supported. */
  readonly unknown: readonly string[];
  readonly usage: {
    readonly promptTokens: number;
    readonly tokens: number;
    /** Positions of the caches at the end, and how often they were doubled. */
    readonly cacheCapacity: number;
    readonly cacheGrowths: number;
    /** Tokens that were guessed from the text before them (`promptLookupNumTokens`), and those of them that were right. */
    readonly draftTokens: number;
    readonly acceptedTokens: number;
  };
}
