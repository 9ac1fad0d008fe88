/** Text of tokens as they are generated. */

/** Ends text whose last character has not all of its bytes. */
const replacement = "\ufffd";

/**
 * Decodes ids one by one. A character whose bytes are spread over tokens is held back until it is whole; characters of
 * text are never changed after they were given out. All pieces together are the text of all ids.
 *
 * @example
 * const stream = new StreamingDetokenizer((ids) => new TextDecoder().decode(Uint8Array.from(ids)));
 * stream.push(0xc3); // ""
 * stream.push(0xbc); // "ü"
 * stream.end(); // ""
 */
export class StreamingDetokenizer {
  readonly #decode: (ids: readonly number[]) => string;
  /** Ids from where the text is decoded: tokens may look different at the start of a text, so some that were given out come first. */
  #ids: number[] = [];
  /** How many of them were given out. */
  #done = 0;

  constructor(decode: (ids: readonly number[]) => string) {
    this.#decode = decode;
  }

  /** The text that `id` completes; "" while a character is not whole. */
  push(id: number): string {
    this.#ids.push(id);
    return this.#give(false);
  }

  /** What is held back: an incomplete character is U+FFFD. The next push begins a new text. */
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
