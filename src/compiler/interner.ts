/**
 * Hash consing: numbers distinct sequences of 32-bit words from 0 on, in the order of their first occurrence. The compiler compares nodes,
 * kernels and views by these numbers instead of strings.
 */
export class Interner {
  /** All sequences, concatenated. */
  #words = new Int32Array(512);
  #length = 0;
  /** Start of each sequence; the last entry is the start of the open one. */
  readonly #starts: number[] = [0];
  /** Open addressing: number + 1 of a sequence, 0 where free. */
  #table = new Int32Array(256);

  /** Appends a word to the open sequence. */
  push(word: number): void {
    if (this.#length === this.#words.length) {
      const words = new Int32Array(2 * this.#length);
      words.set(this.#words);
      this.#words = words;
    }
    this.#words[this.#length++] = word;
  }

  /** Appends a list and its length. */
  pushList(list: readonly number[]): void {
    this.push(list.length);
    for (let i = 0; i < list.length; i++) this.push(list[i]);
  }

  /** Appends JSON-like data. Unlike JSON, it distinguishes -0, NaN and the infinities. */
  pushData(data: unknown): void {
    if (typeof data === "number") {
      // True for -0, which the comparison with Object.is excludes.
      if ((data | 0) === data && !Object.is(data, -0)) {
        this.push(Tag.integer);
        this.push(data);
      } else {
        float[0] = data;
        this.push(Tag.float);
        this.push(floatWords[0]);
        this.push(floatWords[1]);
      }
    } else if (Array.isArray(data)) {
      this.push(Tag.list);
      this.push(data.length);
      for (const item of data) this.pushData(item);
    } else if (typeof data === "object" && data !== null) {
      for (const name in data) {
        const field = (data as Readonly<Record<string, unknown>>)[name];
        if (field === undefined) continue;
        this.push(Tag.field);
        this.push(numberOfText(name));
        this.pushData(field);
      }
      this.push(Tag.end);
    } else {
      this.push(typeof data === "string" ? Tag.text : Tag.other);
      this.push(numberOfText(String(data)));
    }
  }

  /** Closes the sequence; its number. */
  intern(): number {
    const words = this.#words;
    const starts = this.#starts;
    const count = starts.length - 1;
    const start = starts[count];
    const length = this.#length - start;
    const mask = this.#table.length - 1;
    let at = this.#hash(start, this.#length) & mask;
    for (let entry = this.#table[at]; entry !== 0; entry = this.#table[at]) {
      const other = starts[entry - 1];
      if (starts[entry] - other === length) {
        let i = 0;
        while (i < length && words[other + i] === words[start + i]) i++;
        if (i === length) {
          this.#length = start;
          return entry - 1;
        }
      }
      at = (at + 1) & mask;
    }
    this.#table[at] = count + 1;
    starts.push(this.#length);
    if (2 * count > mask) this.#enlargeTable();
    return count;
  }

  /** All closed sequences, each preceded by its length. */
  forEachWord(visit: (word: number) => void): void {
    const starts = this.#starts;
    for (let id = 0; id + 1 < starts.length; id++) {
      visit(starts[id + 1] - starts[id]);
      for (let i = starts[id]; i < starts[id + 1]; i++) visit(this.#words[i]);
    }
  }

  #enlargeTable(): void {
    const starts = this.#starts;
    this.#table = new Int32Array(4 * this.#table.length);
    const mask = this.#table.length - 1;
    for (let id = 0; id + 1 < starts.length; id++) {
      let at = this.#hash(starts[id], starts[id + 1]) & mask;
      while (this.#table[at] !== 0) at = (at + 1) & mask;
      this.#table[at] = id + 1;
    }
  }

  /** The mixing steps of MurmurHash3. */
  #hash(start: number, end: number): number {
    let hash = end - start;
    for (let i = start; i < end; i++) {
      const k = Math.imul(this.#words[i], 0xcc9e2d51);
      hash ^= Math.imul((k << 15) | (k >>> 17), 0x1b873593);
      hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0;
    }
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    return hash ^ (hash >>> 13);
  }
}

const Tag = { integer: 0, float: 1, list: 2, field: 3, end: 4, text: 5, other: 6 } as const;
const float = new Float64Array(1);
const floatWords = new Int32Array(float.buffer);

const texts = new Map<string, number>();

/** A number for each text: names of fields, options and modules, of which a program has few. */
export function numberOfText(text: string): number {
  let number = texts.get(text);
  if (number === undefined) {
    number = texts.size;
    texts.set(text, number);
  }
  return number;
}
