/** The text of a sequence while it is generated: pieces that stay as they are, and stop texts across the borders of tokens. */
import { StreamingDetokenizer } from "../text/stream.js";

/** What the loop takes to turn ids into text. */
export interface TokenText {
  /** The text of ids, special tokens left out. */
  decode(ids: readonly number[]): string;
}

export class SequenceText {
  readonly #stream: StreamingDetokenizer;
  readonly #stops: readonly string[];
  #text = "";
  /** Characters that were given out. */
  #given = 0;
  #isStopped = false;

  constructor(tokenizer: TokenText, stops: readonly string[]) {
    this.#stream = new StreamingDetokenizer((ids) => tokenizer.decode(ids));
    this.#stops = stops;
  }

  /** All text, without a stop text and what follows it. */
  get text(): string {
    return this.#text;
  }

  /** Adds a token's text. @returns Whether a stop text is complete. */
  push(token: number): boolean {
    return this.#add(this.#stream.push(token));
  }

  /** Adds what was held back of an incomplete character. */
  end(): void {
    if (!this.#isStopped) this.#add(this.#stream.end());
  }

  /** The text that is certain and was not given out; `all`: at the end. */
  take(all: boolean): string {
    const certain = all ? this.#text.length : this.#text.length - this.#unsure();
    const piece = this.#text.slice(this.#given, certain);
    this.#given = Math.max(this.#given, certain);
    return piece;
  }

  #add(piece: string): boolean {
    const before = this.#text.length;
    this.#text += piece;
    const places = this.#stops
      .map((stop) => this.#text.indexOf(stop, Math.max(0, before - stop.length + 1)))
      .filter((at) => at >= 0);
    if (places.length === 0) return false;
    this.#text = this.#text.slice(0, Math.min(...places));
    this.#isStopped = true;
    return true;
  }

  /** Characters at the end that a stop text may begin with. */
  #unsure(): number {
    let most = 0;
    if (this.#isStopped) return most;
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, this.#text.length); length > most; length--) {
        if (this.#text.endsWith(stop.slice(0, length))) most = length;
      }
    }
    return most;
  }
}
