/** The tokens of a vocabulary by their bytes, sorted so that those with a common beginning are walked through together. */
import { type Automaton, dead } from "./automaton.js";

/** A tokenizer that knows the bytes of its tokens. */
export interface TokenBytes {
  /** The largest id and one. */
  readonly size: number;
  /** The bytes that a token stands for; undefined for special tokens and ids without a token. */
  bytes(id: number): Uint8Array | undefined;
}

export class Vocabulary {
  /** Sorted by their bytes. */
  readonly #ids: Int32Array;
  readonly #bytes: readonly Uint8Array[];
  /** How many bytes a token has in common with the one before. */
  readonly #common: Int32Array;

  constructor(tokenizer: TokenBytes) {
    const tokens: { id: number; bytes: Uint8Array }[] = [];
    for (let id = 0; id < tokenizer.size; id++) {
      const bytes = tokenizer.bytes(id);
      if (bytes !== undefined && bytes.length > 0) tokens.push({ id, bytes });
    }
    tokens.sort((a, b) => compare(a.bytes, b.bytes));
    this.#ids = Int32Array.from(tokens, ({ id }) => id);
    this.#bytes = tokens.map(({ bytes }) => bytes);
    this.#common = Int32Array.from(tokens, ({ bytes }, i) =>
      i === 0 ? 0 : commonLength(tokens[i - 1].bytes, bytes),
    );
  }

  /** The tokens that may follow a state, at most `farthest` bytes from the end. */
  after(automaton: Automaton, state: number, farthest = Number.POSITIVE_INFINITY): Int32Array {
    const found: number[] = [];
    /** The state behind each byte of the current token. */
    const path = [state];
    /** From so many bytes on the tokens before are dead. */
    let deadAt = Number.POSITIVE_INFINITY;
    for (let i = 0; i < this.#ids.length; i++) {
      const common = this.#common[i];
      if (common >= deadAt) continue;
      deadAt = Number.POSITIVE_INFINITY;
      const bytes = this.#bytes[i];
      let at = path[common];
      for (let p = common; p < bytes.length; p++) {
        at = automaton.step(at, bytes[p]);
        if (at === dead) {
          deadAt = p + 1;
          break;
        }
        path[p + 1] = at;
      }
      if (at !== dead && automaton.distance(at) <= farthest) found.push(this.#ids[i]);
    }
    return Int32Array.from(found);
  }
}

function compare(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

function commonLength(a: Uint8Array, b: Uint8Array): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length;
}
