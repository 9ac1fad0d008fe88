/** Texts as samples for models that predict the next token: packed into blocks, or one a row. */

import {
  aNumber,
  anArray,
  check,
  checkNeeded,
  checkOptions,
  describe,
  isPlain,
  type Kinds,
  oneOf,
} from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { HostTensor } from "../formats/host.js";
import { TensorDataset } from "./dataset.js";

/** Tokens, or tokens of which the first `promptLength` are read but not learnt ("completion only"). */
export type TrainingText =
  | ArrayLike<number>
  | { readonly tokens: ArrayLike<number>; readonly promptLength: number };

/** How texts share rows. */
export type Packing = "documents" | "concatenate" | "none";

/** Options of `causalTexts`. */
export interface CausalTextOptions {
  /** Tokens of a row. */
  readonly contextLength: number;
  /**
   * "documents" (default): whole texts one after the other while a row has room; give the model the numbers in `documents`, and each sees
   * itself only. "concatenate": all texts as one, cut into rows; what is left over is dropped. "none": one text a row, cut to its length.
   * Longer texts than a row become several with "documents".
   */
  readonly packing?: Packing;
  /** The token behind the end of a row's texts. Default 0. */
  readonly padding?: number;
}

const causalOptions: Kinds<CausalTextOptions> = {
  contextLength: aNumber,
  packing: oneOf<Packing>("documents", "concatenate", "none"),
  padding: aNumber,
};

/** A batch of `causalTexts`. */
export interface CausalBatch {
  /** int32 [B, T]. */
  readonly tokens: HostTensor;
  /** int32 [B, T]: the token after each, or −100 (`crossEntropy`'s `ignoreIndex`) for padding, prompts and the ends of documents. */
  readonly labels: HostTensor;
  /** int32 [B, T]: the number of each token's document in its row; that of padding is one more than the last. */
  readonly documents: HostTensor;
}

const ignored = -100;

/** Tokens in a row, with their labels. */
interface Piece {
  readonly tokens: readonly number[];
  readonly labels: readonly number[];
}

/**
 * Texts for the fine-tuning of a decoder, as a dataset of records. The labels are shifted already: labels[b, t] is the token after
 * tokens[b, t].
 *
 * @throws ArgumentError if there is not one row, a text is empty, or a prompt is no part of its text.
 * @example
 * const texts = [[5, 6, 7], { tokens: [8, 9, 4], promptLength: 2 }];
 * const { tokens, labels, documents } = causalTexts(texts, { contextLength: 8 }).batch(Int32Array.of(0));
 * tokens.data; // [5, 6, 7, 8, 9, 4, 0, 0]
 * labels.data; // [6, 7, -100, -100, 4, -100, -100, -100]
 * documents.data; // [0, 0, 0, 1, 1, 1, 2, 2]
 */
export function causalTexts(
  texts: readonly TrainingText[],
  options: CausalTextOptions,
): TensorDataset<{ [Name in keyof CausalBatch]: HostTensor }> {
  const op = "causalTexts";
  check(op, "the texts", texts, anArray);
  checkOptions(op, options ?? null, causalOptions);
  const { contextLength, packing = "documents", padding = 0 } = options;
  checkNeeded(op, { contextLength }, causalOptions);
  if (!Number.isInteger(contextLength) || contextLength < 1) {
    throw new ArgumentError(`contextLength is a positive integer, got ${describe(contextLength)}`, { op });
  }
  const pieces = texts.map((text) => pieceOf(text, op));
  const rows = packers[packing](pieces, contextLength);
  if (rows.length === 0) {
    const sum = pieces.reduce((count, { tokens }) => count + tokens.length, 0);
    throw new ArgumentError(`${sum} tokens are too few for a row of ${contextLength}`, { op });
  }
  const shape = [rows.length, contextLength];
  const size = rows.length * contextLength;
  const tokens = new Int32Array(size).fill(padding);
  const labels = new Int32Array(size).fill(ignored);
  const documents = new Int32Array(size);
  rows.forEach((row, r) => {
    let at = r * contextLength;
    row.forEach((piece, number) => {
      tokens.set(piece.tokens, at);
      labels.set(piece.labels, at);
      documents.fill(number, at, at + piece.tokens.length);
      at += piece.tokens.length;
    });
    documents.fill(row.length, at, (r + 1) * contextLength);
  });
  const tensor = (data: Int32Array): HostTensor => ({ dtype: "int32", shape, data });
  return new TensorDataset({ tokens: tensor(tokens), labels: tensor(labels), documents: tensor(documents) });
}

/** A text as one document: its last token predicts nothing, and neither does a prompt before its own last token. */
function pieceOf(text: TrainingText, op: string): Piece {
  const { tokens: list, promptLength } = isPlain(text)
    ? (text as { tokens: ArrayLike<number>; promptLength: number })
    : { tokens: text as ArrayLike<number>, promptLength: 0 };
  const tokens = Array.from(list ?? []);
  if (tokens.length === 0) throw new ArgumentError(`a text has no tokens: ${describe(text)}`, { op });
  if (!Number.isInteger(promptLength) || promptLength < 0 || promptLength > tokens.length) {
    throw new ArgumentError(`promptLength is in 0..${tokens.length}, got ${describe(promptLength)}`, { op });
  }
  const labels = tokens.map((_, i) =>
    i + 1 < Math.max(promptLength, 1) ? ignored : (tokens[i + 1] ?? ignored),
  );
  return { tokens, labels };
}

type Packer = (pieces: readonly Piece[], length: number) => Piece[][];

const packers: Readonly<Record<Packing, Packer>> = {
  none: (pieces, length) => pieces.map((piece) => [part(piece, 0, length)]),
  documents: (pieces, length) => {
    const rows: Piece[][] = [];
    let room = 0;
    for (const piece of pieces) {
      for (let start = 0; start < piece.tokens.length; start += length) {
        const next = part(piece, start, start + length);
        if (next.tokens.length > room) {
          rows.push([]);
          room = length;
        }
        rows[rows.length - 1].push(next);
        room -= next.tokens.length;
      }
    }
    return rows;
  },
  concatenate: (pieces, length) => {
    // The end of a text predicts the beginning of the next.
    const tokens = pieces.flatMap((piece) => piece.tokens);
    const labels = pieces.flatMap((piece, i) => [
      ...piece.labels.slice(0, -1),
      pieces[i + 1]?.tokens[0] ?? ignored,
    ]);
    const count = Math.floor(tokens.length / length);
    return Array.from({ length: count }, (_, i) => [part({ tokens, labels }, i * length, (i + 1) * length)]);
  },
};

function part({ tokens, labels }: Piece, start: number, end: number): Piece {
  return { tokens: tokens.slice(start, end), labels: labels.slice(start, end) };
}
