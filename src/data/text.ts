/** Token sequences as samples for language modelling. */

import { aNumber, check, checkOptions, describe, type Kind, type Kinds } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import { Inspectable } from "../core/inspect.js";
import type { HostTensor } from "../formats/host.js";
import { checkIndices, type Dataset } from "./dataset.js";

/** Options of `TextDataset`. */
export interface TextDatasetOptions {
  /** Tokens from the start of one block to the next. Default: the context length, blocks that do not overlap. */
  readonly stride?: number;
}

const textOptions: Kinds<TextDatasetOptions> = { stride: aNumber };
const tokenArray: Kind = [
  "an Int32Array of token ids",
  (value) => value instanceof Int32Array,
  (value) =>
    typeof value === "string"
      ? "a tokenizer's encode(text)"
      : Array.isArray(value)
        ? "Int32Array.from(…)"
        : undefined,
];

/**
 * Blocks of `contextLength` tokens for language modelling: batches [x, y], both int32 [B, contextLength], where y[b, t] is the token
 * after x[b, t].
 *
 * @throws ArgumentError if there is not one whole block, or a length is not a positive integer.
 * @example
 * const [x, y] = new TextDataset(Int32Array.of(1, 2, 3, 4, 5), 4).batch(Int32Array.of(0));
 * x.data; // [1, 2, 3, 4]
 * y.data; // [2, 3, 4, 5]
 */
export class TextDataset extends Inspectable implements Dataset {
  readonly length: number;
  readonly contextLength: number;
  readonly #tokens: Int32Array;
  readonly #stride: number;

  constructor(tokens: Int32Array, contextLength: number, options: TextDatasetOptions = {}) {
    super();
    check("TextDataset", "tokens", tokens, tokenArray);
    const { stride = contextLength } = checkOptions("TextDataset", options, textOptions);
    for (const [name, value] of Object.entries({ contextLength, stride })) {
      if (!Number.isInteger(value) || value < 1) {
        throw new ArgumentError(`${name} is a positive integer, got ${describe(value)}`, {
          op: "TextDataset",
        });
      }
    }
    if (tokens.length <= contextLength) {
      throw new ArgumentError(
        `${tokens.length} tokens are too few for a block of ${contextLength} and its target`,
        {
          op: "TextDataset",
        },
      );
    }
    this.#tokens = tokens;
    this.#stride = stride;
    this.contextLength = contextLength;
    this.length = Math.floor((tokens.length - 1 - contextLength) / stride) + 1;
  }

  override toString(): string {
    return `TextDataset of ${this.length} blocks of ${this.contextLength} tokens`;
  }

  batch(indices: Int32Array): HostTensor[] {
    checkIndices(indices, this.length);
    const { contextLength } = this;
    const shape = [indices.length, contextLength];
    const x = new Int32Array(indices.length * contextLength);
    const y = new Int32Array(x.length);
    indices.forEach((index, b) => {
      const start = index * this.#stride;
      x.set(this.#tokens.subarray(start, start + contextLength), b * contextLength);
      y.set(this.#tokens.subarray(start + 1, start + 1 + contextLength), b * contextLength);
    });
    return [
      { dtype: "int32", shape, data: x },
      { dtype: "int32", shape, data: y },
    ];
  }
}
