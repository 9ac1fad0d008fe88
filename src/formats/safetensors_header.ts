/**
 * The JSON header of a safetensors file, by its own closed grammar:
 *
 *     { "name": { "dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24] }, …, "__metadata__": { "key": "value" } }
 *
 * Why not JSON.parse: it keeps the last of two equal keys, so two programs may see different tensors in one file,
 * and it gives `__proto__` a meaning. This parser refuses the first and stores names in Maps; the grammar has a fixed
 * depth, so nothing recurses.
 */
import { FormatError } from "../core/errors.js";
import { quote } from "./excerpt.js";

/** One tensor as the header describes it; nothing but its JSON form is checked yet. */
export interface TensorEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** First byte and the one behind the last, counted from the end of the header. */
  readonly begin: number;
  readonly end: number;
}

export interface Header {
  readonly tensors: Map<string, TensorEntry>;
  readonly metadata: Map<string, string>;
}

/** A surrogate that is not half of a pair: no valid Unicode text, so no valid name. */
const loneSurrogate = /\p{Surrogate}/u;

/** A JSON number that is a non-negative integer of at most 16 digits. */
const integer = /(?:0|[1-9][0-9]{0,15})(?![0-9.eE])/y;

/** @throws FormatError with the position (in UTF-16 units of the header) where the text stops being a header. */
export function parseHeader(text: string): Header {
  return new HeaderParser(text).parse();
}

/** True if `text` can be written as UTF-8 and read back as the same string. */
export function isWellFormed(text: string): boolean {
  return !loneSurrogate.test(text);
}

class HeaderParser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): Header {
    const tensors = new Map<string, TensorEntry>();
    let metadata: Map<string, string> | undefined;
    if (this.#text[0] !== "{") this.#fail('the header does not begin with "{"');
    this.#object((name) => {
      if (name === "__metadata__") {
        if (metadata !== undefined) this.#fail('duplicate key "__metadata__"');
        metadata = this.#metadata();
      } else {
        if (tensors.has(name)) this.#fail(`duplicate key ${quote(name)}`);
        tensors.set(name, this.#entry(name));
      }
    });
    this.#space();
    if (this.#at !== this.#text.length) this.#fail("something follows the closing brace");
    return { tensors, metadata: metadata ?? new Map() };
  }

  #metadata(): Map<string, string> {
    const metadata = new Map<string, string>();
    this.#object((key) => {
      if (metadata.has(key)) this.#fail(`duplicate key ${quote(key)} in __metadata__`);
      metadata.set(key, this.#string());
    });
    return metadata;
  }

  #entry(name: string): TensorEntry {
    let dtype: string | undefined;
    let shape: number[] | undefined;
    let offsets: number[] | undefined;
    this.#object((key) => {
      if (key === "dtype" && dtype === undefined) dtype = this.#string();
      else if (key === "shape" && shape === undefined) shape = this.#integers();
      else if (key === "data_offsets" && offsets === undefined) offsets = this.#integers();
      else {
        const known = key === "dtype" || key === "shape" || key === "data_offsets";
        this.#fail(`${known ? "duplicate" : "unknown"} key ${quote(key)} in the entry of ${quote(name)}`);
      }
    });
    if (dtype === undefined || shape === undefined || offsets?.length !== 2) {
      return this.#fail(`the entry of ${quote(name)} needs dtype, shape and two data_offsets`);
    }
    return { dtype, shape, begin: offsets[0], end: offsets[1] };
  }

  /** Calls `member` behind the colon of each member; it parses the value. */
  #object(member: (key: string) => void): void {
    this.#list("{", "}", () => {
      const key = this.#string();
      this.#expect(":");
      member(key);
    });
  }

  #integers(): number[] {
    const values: number[] = [];
    this.#list("[", "]", () => {
      this.#space();
      integer.lastIndex = this.#at;
      const match = integer.exec(this.#text);
      const value = match === null ? Number.NaN : Number(match[0]);
      if (!Number.isSafeInteger(value)) this.#fail("a non-negative integer below 2^53 is expected");
      this.#at = integer.lastIndex;
      values.push(value);
    });
    return values;
  }

  #list(open: string, close: string, item: () => void): void {
    this.#expect(open);
    if (this.#skip(close)) return;
    do item();
    while (this.#skip(","));
    this.#expect(close);
  }

  #string(): string {
    this.#expect('"');
    const start = this.#at - 1;
    for (;;) {
      const unit = this.#text.charCodeAt(this.#at++);
      if (unit === 0x22) break;
      if (unit === 0x5c) this.#at++;
      if (Number.isNaN(unit)) return this.#fail("a string does not end");
    }
    let value: string;
    try {
      // A slice from quote to quote is one JSON string or an error; JSON.parse knows the escapes.
      value = JSON.parse(this.#text.slice(start, this.#at)) as string;
    } catch {
      return this.#fail("a string is not valid JSON");
    }
    if (!isWellFormed(value)) this.#fail("a string has half of a surrogate pair");
    return value;
  }

  #expect(character: string): void {
    if (!this.#skip(character)) this.#fail(`"${character}" is expected`);
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

  #fail(reason: string): never {
    throw new FormatError(`bad header at ${Math.min(this.#at, this.#text.length)}: ${reason}`, {
      op: "readSafetensors",
    });
  }
}
