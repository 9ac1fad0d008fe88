/** Keeps stop texts out of a stream: what may be the beginning of one is held back. */

export class StopFilter {
  readonly #stops: readonly string[];
  #held = "";
  #hasEnded = false;

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /** The text that may be shown. */
  push(text: string): string {
    if (this.#hasEnded) return "";
    const all = this.#held + text;
    const places = this.#stops.map((stop) => all.indexOf(stop)).filter((at) => at >= 0);
    this.#hasEnded = places.length > 0;
    const end = this.#hasEnded ? Math.min(...places) : all.length - this.#beginning(all);
    this.#held = this.#hasEnded ? "" : all.slice(end);
    return all.slice(0, end);
  }

  /** What is held back when no more text comes. */
  end(): string {
    const rest = this.#held;
    this.#held = "";
    return rest;
  }

  /** The length of the longest end of a text that a stop text begins with. */
  #beginning(text: string): number {
    const most = Math.max(0, ...this.#stops.map(({ length }) => length - 1));
    for (let length = Math.min(most, text.length); length > 0; length--) {
      const end = text.slice(text.length - length);
      if (this.#stops.some((stop) => stop.startsWith(end))) return length;
    }
    return 0;
  }
}
