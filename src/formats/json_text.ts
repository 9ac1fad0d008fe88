/**
 * Reads JSON of a known grammar member by member.
 *
 * Why not JSON.parse: it keeps the last of two equal keys, so two programs may see different values in one file, and it
 * gives `__proto__` a meaning. Here the caller sees every key, and nothing recurses.
 */
import { quote } from "./excerpt.js";

/** A surrogate that is not half of a pair: no valid Unicode text, so no valid name. */
const loneSurrogate = /\p{Surrogate}/u;

/** A JSON number that is a non-negative integer of at most 16 digits. */
const integer = /(?:0|[1-9][0-9]{0,15})(?![0-9.eE])/y;

/** Numbers, true, false and null, roughly. */
const literal = /[-+.\w]+/y;

/** True if `text` can be written as UTF-8 and read back as the same string. */
export function isWellFormed(text: string): boolean {
  return !loneSurrogate.test(text);
}

export class JsonText {
  readonly #text: string;
  readonly #errorAt: (at: number, reason: string) => Error;
  #at = 0;

  /** @param errorAt makes the error for what is wrong at a position (in UTF-16 units). */
  constructor(text: string, errorAt: (at: number, reason: string) => Error) {
    this.#text = text;
    this.#errorAt = errorAt;
  }

  /** Calls `member` behind the colon of each member; it reads the value. Equal keys are an error. */
  object(member: (key: string) => void, where = ""): void {
    const keys = new Set<string>();
    this.#list("{", "}", () => {
      const key = this.string();
      if (keys.has(key)) this.fail(`duplicate key ${quote(key)}${where}`);
      keys.add(key);
      this.#expect(":");
      member(key);
    });
  }

  /** Nothing may follow. */
  end(): void {
    this.#space();
    if (this.#at !== this.#text.length) this.fail("something follows the closing brace");
  }

  integers(): number[] {
    const values: number[] = [];
    this.#list("[", "]", () => {
      this.#space();
      integer.lastIndex = this.#at;
      const match = integer.exec(this.#text);
      const value = match === null ? Number.NaN : Number(match[0]);
      if (!Number.isSafeInteger(value)) this.fail("a non-negative integer below 2^53 is expected");
      this.#at = integer.lastIndex;
      values.push(value);
    });
    return values;
  }

  string(): string {
    this.#expect('"');
    const start = this.#at - 1;
    for (;;) {
      const unit = this.#text.charCodeAt(this.#at++);
      if (unit === 0x22) break;
      if (unit === 0x5c) this.#at++;
      if (Number.isNaN(unit)) return this.fail("a string does not end");
    }
    let value: string;
    try {
      // A slice from quote to quote is one JSON string or an error; JSON.parse knows the escapes.
      value = JSON.parse(this.#text.slice(start, this.#at)) as string;
    } catch {
      return this.fail("a string is not valid JSON");
    }
    if (!isWellFormed(value)) this.fail("a string has half of a surrogate pair");
    return value;
  }

  /** Passes over a value of any kind that nobody uses. */
  skipValue(): void {
    let depth = 0;
    do {
      this.#space();
      const character = this.#text[this.#at];
      if (character === '"') this.string();
      else if (character === "{" || character === "[") {
        depth++;
        this.#at++;
      } else if (depth > 0 && (character === "}" || character === "]")) {
        depth--;
        this.#at++;
      } else if (depth > 0 && (character === "," || character === ":")) this.#at++;
      else {
        literal.lastIndex = this.#at;
        if (!literal.test(this.#text)) this.fail("a value is expected");
        this.#at = literal.lastIndex;
      }
    } while (depth > 0);
  }

  fail(reason: string): never {
    throw this.#errorAt(Math.min(this.#at, this.#text.length), reason);
  }

  #list(open: string, close: string, item: () => void): void {
    this.#expect(open);
    if (this.#skip(close)) return;
    do item();
    while (this.#skip(","));
    this.#expect(close);
  }

  #expect(character: string): void {
    if (!this.#skip(character)) this.fail(`"${character}" is expected`);
  }

  #skip(character: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #space(): void {
    for (;;) {
      const unit = this.#text.charCodeAt(this.#at);
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return;
      this.#at++;
    }
  }
}
