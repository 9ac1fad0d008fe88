/** Text as numbers, one per character. */
import { aString, check, type Kind } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";

const idList: Kind = ["a list of ids", (value) => Array.isArray(value) || ArrayBuffer.isView(value)];
const iterable: Kind = [
  "a string or a list of characters",
  (value) =>
    typeof value === "string" || (Array.isArray(value) && value.every(aString[1])) || value instanceof Set,
];

/**
 * A tokenizer with a vocabulary of single characters (Unicode code points); the id of a character is its position.
 *
 * @example
 * const tokenizer = CharTokenizer.fromText("hello");
 * tokenizer.encode("hole"); // [1, 3, 2, 0]
 * tokenizer.decode([1, 0]); // "he"
 */
export class CharTokenizer {
  readonly vocabulary: readonly string[];
  readonly #ids = new Map<string, number>();

  /** @throws ArgumentError if an entry is not one character or appears twice. */
  constructor(vocabulary: Iterable<string>) {
    check("CharTokenizer", "the vocabulary", vocabulary, iterable);
    this.vocabulary = [...vocabulary];
    for (const character of this.vocabulary) {
      if ([...character].length !== 1 || this.#ids.has(character)) {
        throw new ArgumentError(`${JSON.stringify(character)} is not a single, new character`, {
          op: "CharTokenizer",
        });
      }
      this.#ids.set(character, this.#ids.size);
    }
  }

  /** The distinct characters of `text`, in code point order. */
  static fromText(text: string): CharTokenizer {
    const characters = [...new Set(check("CharTokenizer", "the text", text, aString))];
    return new CharTokenizer(characters.sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!));
  }

  get size(): number {
    return this.vocabulary.length;
  }

  /** int32 ids, one per character. @throws ArgumentError naming a character that is not in the vocabulary. */
  encode(text: string): Int32Array {
    const ids = new Int32Array(check("encode", "the text", text, aString).length);
    let count = 0;
    for (const character of text) {
      const id = this.#ids.get(character);
      if (id === undefined) {
        throw new ArgumentError(`${JSON.stringify(character)} at ${count} is not in the vocabulary`, {
          op: "encode",
        });
      }
      ids[count++] = id;
    }
    return ids.slice(0, count);
  }

  /** @throws ArgumentError for an id outside the vocabulary. */
  decode(ids: ArrayLike<number>): string {
    check("decode", "ids", ids, idList);
    let text = "";
    for (let i = 0; i < ids.length; i++) {
      const character = this.vocabulary[ids[i]];
      if (character === undefined) {
        throw new ArgumentError(`id ${ids[i]} at ${i} is not in 0..${this.size - 1}`, { op: "decode" });
      }
      text += character;
    }
    return text;
  }
}
