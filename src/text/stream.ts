/** Text of tokens as they are generated. */

/** Ends decoded text whose last character is incomplete. */
const replacement = "\ufffd";

/**
 * Decodes ids one by one. A character whose bytes span several tokens is held back until it is complete; returned text never changes
 * later. The pieces together are the text of all ids.
 *
 * @example
 * const stream = new StreamingDetokenizer((ids) => new TextDecoder().decode(Uint8Array.from(ids)));
 * stream.push(0xc3); // ""
 * stream.push(0xbc); // "ü"
 * stream.end(); // ""
 */
export class StreamingDetokenizer {
  readonly #decode: (ids: readonly number[]) => string;
  /** Ids that are decoded together. Starts with some whose text was returned already, because tokens decode differently at the start. */
  #ids: number[] = [];
  /** Number of these whose text was returned. */
  #done = 0;

  constructor(decode: (ids: readonly number[]) => string) {
    this.#decode = decode;
  }

  /** The text that `id` completes; "" while a character is incomplete. */
  push(id: number): string {
    this.#ids.push(id);
    return this.#give(false);
  }

  /** Returns the rest; an incomplete character becomes U+FFFD. The next push starts a new text. */
  end(): string {
    const rest = this.#give(true);
    this.#ids = [];
    this.#done = 0;
    return rest;
  }

  #give(all: boolean): string {
    const before = this.#decode(this.#ids.slice(0, this.#done));
    const text = this.#decode(this.#ids);
    if (text.length <= before.length || (!all && text.endsWith(replacement))) return "";
    this.#ids = this.#ids.slice(this.#done);
    this.#done = this.#ids.length;
    return text.slice(before.length);
  }
}
