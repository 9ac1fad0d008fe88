/** Texts as samples for masked language modelling: other tokens are masked in each epoch. */

import {
  aFunction,
  aNumber,
  anArray,
  check,
  checkNeeded,
  checkOptions,
  describe,
  type Kinds,
} from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import { Inspectable } from "../core/inspect.js";
import { generator } from "../core/mulberry.js";
import { philox } from "../core/philox.js";
import type { HostTensor } from "../formats/host.js";
import { checkIndices, type Dataset } from "./dataset.js";

/** Options of `MaskedTexts`. */
export interface MaskedTextOptions {
  /** Tokens of a row; longer texts are cut. */
  readonly contextLength: number;
  /** The token that stands for a hidden one: `tokenizer.special.mask.id`. */
  readonly mask: number;
  /** Number of tokens, from which random ones are drawn. */
  readonly vocabulary: number;
  /** Tokens that are never hidden: `[CLS]`, `[SEP]`. Default: none. */
  readonly special?: readonly number[];
  /** Probability that a token is to be predicted. Default 0.15. */
  readonly probability?: number;
  /** Shares of those that become the mask, and a random token; the others stay. Default [0.8, 0.1]. */
  readonly shares?: readonly [mask: number, random: number];
  /**
   * Whole words: whether a token continues the word of the one before it, such as BERT's `##ing`. The tokens of a word are then
   * predicted together. Default: each token by itself.
   */
  readonly continues?: (token: number) => boolean;
  /** The token behind the end of a text. Default 0. */
  readonly padding?: number;
  /** Default 0. */
  readonly seed?: number;
}

const maskedOptions: Kinds<MaskedTextOptions> = {
  contextLength: aNumber,
  mask: aNumber,
  vocabulary: aNumber,
  special: anArray,
  probability: aNumber,
  shares: anArray,
  continues: aFunction,
  padding: aNumber,
  seed: aNumber,
};

/** A batch of `MaskedTexts`. */
export interface MaskedBatch {
  /** int32 [B, T], some of them hidden. */
  readonly tokens: HostTensor;
  /** int32 [B, T]: the tokens that are to be predicted, and −100 (`crossEntropy`'s `ignoreIndex`) elsewhere. */
  readonly labels: HostTensor;
  /** int32 [B]: tokens of each text; encoders take it as `lengths`. */
  readonly lengths: HostTensor;
}

const ignored = -100;
/** Last word of the counter; the shuffle of a loader has 1 there. */
const maskStream = 2;
const wordRange = 2 ** 32;

/**
 * Texts for the masked language modelling of an encoder (Devlin et al. 2018), as a dataset of records. Which tokens are hidden depends on
 * the seed, the epoch and the text only: each epoch hides others (Liu et al. 2019), and a resumed run the same.
 *
 * @throws ArgumentError for options outside their domain, empty texts, tokens outside the vocabulary.
 * @example
 * const texts = new MaskedTexts([[1, 5, 6, 7, 2]], { contextLength: 6, mask: 3, vocabulary: 9, special: [1, 2], probability: 1 });
 * const { labels, lengths } = texts.batch(Int32Array.of(0));
 * labels.data; // [-100, 5, 6, 7, -100, -100]
 * lengths.data; // [5]
 */
export class MaskedTexts extends Inspectable implements Dataset<{ [Name in keyof MaskedBatch]: HostTensor }> {
  readonly length: number;
  readonly #texts: readonly Int32Array[];
  readonly #special: ReadonlySet<number>;
  readonly #options: MaskedTextOptions;

  constructor(texts: readonly ArrayLike<number>[], options: MaskedTextOptions) {
    super();
    const op = "MaskedTexts";
    check(op, "the texts", texts, anArray);
    checkOptions(op, options ?? null, maskedOptions);
    const {
      contextLength,
      mask,
      vocabulary,
      special = [],
      probability = 0.15,
      shares = [0.8, 0.1],
    } = options;
    checkNeeded(op, { contextLength, mask, vocabulary }, maskedOptions);
    for (const [name, value] of Object.entries({ contextLength, vocabulary })) {
      if (Number.isInteger(value) && value > 0) continue;
      throw new ArgumentError(`${name} is a positive integer, got ${describe(value)}`, { op });
    }
    const parts = [probability, ...shares, shares[0] + shares[1]];
    if (shares.length !== 2 || !parts.every((part) => part >= 0 && part <= 1)) {
      throw new ArgumentError(`probability and shares lie in 0..1, got ${probability} and ${shares}`, { op });
    }
    this.#texts = texts.map((text) => Int32Array.from(text).subarray(0, contextLength));
    for (const text of this.#texts) {
      const wrong = text.find((token) => token < 0 || token >= vocabulary);
      if (text.length > 0 && wrong === undefined) continue;
      const problem =
        wrong === undefined ? "a text has no tokens" : `a text has the token ${wrong} of ${vocabulary}`;
      throw new ArgumentError(problem, { op });
    }
    if (texts.length === 0) throw new ArgumentError("there are no texts", { op });
    this.#special = new Set(special);
    this.#options = options;
    this.length = texts.length;
  }

  override toString(): string {
    return `MaskedTexts of ${this.length} texts`;
  }

  batch(indices: Int32Array, epoch = 0): { [Name in keyof MaskedBatch]: HostTensor } {
    checkIndices(indices, this.length);
    const { contextLength, padding = 0 } = this.#options;
    const tokens = new Int32Array(indices.length * contextLength).fill(padding);
    const labels = new Int32Array(tokens.length).fill(ignored);
    indices.forEach((index, row) => {
      const text = this.#texts[index];
      const start = row * contextLength;
      tokens.set(text, start);
      this.#hide(text, index, epoch, tokens.subarray(start), labels.subarray(start));
    });
    const shape = [indices.length, contextLength];
    const lengths = Int32Array.from(indices, (index) => this.#texts[index].length);
    return {
      tokens: { dtype: "int32", shape, data: tokens },
      labels: { dtype: "int32", shape, data: labels },
      lengths: { dtype: "int32", shape: [indices.length], data: lengths },
    };
  }

  #hide(text: Int32Array, index: number, epoch: number, tokens: Int32Array, labels: Int32Array): void {
    const { mask, vocabulary, probability = 0.15, shares = [0.8, 0.1], continues, seed = 0 } = this.#options;
    const key = [seed % wordRange, Math.floor(seed / wordRange)] as const;
    const random = generator(philox([index, 0, epoch, maskStream], key)[0]);
    let isHidden = false;
    text.forEach((token, i) => {
      const isSpecial = this.#special.has(token);
      const isInside = i > 0 && continues?.(token) === true && !this.#special.has(text[i - 1]);
      if (!isInside) isHidden = random() < probability;
      if (!isHidden || isSpecial) return;
      labels[i] = token;
      const share = random();
      if (share < shares[0]) tokens[i] = mask;
      else if (share < shares[0] + shares[1]) tokens[i] = Math.floor(random() * vocabulary);
    });
  }
}
