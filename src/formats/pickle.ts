/**
 * Python's pickles, protocols 0 to 5, by a reader that makes plain values and calls only what its caller has allowed by name:
 * https://docs.python.org/3/library/pickletools.html. Nothing of a pickle is ever executed.
 */
/** A function or class that a pickle names. */
export class PickleGlobal {
  constructor(readonly name: string) {}
}

/** Lists and tuples are arrays, dicts Maps, integers of more than 53 bits bigints, bytes Uint8Arrays. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleGlobal
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | object;

export interface PickleOptions {
  /** Throws the error for what is damaged or not allowed. */
  readonly fail: (reason: string) => never;
  /** Throws if a pickle may not name this. */
  readonly allow: (name: string) => void;
  /** The result of a call of what was allowed. */
  readonly call: (name: string, args: readonly PickleValue[]) => PickleValue;
  /** The object behind a persistent id. */
  readonly persistent: (id: PickleValue) => PickleValue;
  /** Called where the bytes end before the pickle does. */
  readonly ended: () => never;
}

const mark = Symbol("mark");
type Slot = PickleValue | typeof mark;

/** The value of the pickle at `start`, and the first byte behind it. */
export function readPickle(
  bytes: Uint8Array,
  start: number,
  options: PickleOptions,
): { value: PickleValue; end: number } {
  const reader = new PickleReader(bytes, start, options);
  return { value: reader.read(), end: reader.at };
}

class PickleReader {
  at: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #options: PickleOptions;
  readonly #stack: Slot[] = [];
  readonly #memo = new Map<number, PickleValue>();
  readonly #text = new TextDecoder();

  constructor(bytes: Uint8Array, start: number, options: PickleOptions) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#options = options;
    this.at = start;
  }

  read(): PickleValue {
    for (;;) {
      const code = this.#u8();
      if (code === 0x2e) return this.#pop();
      this.#step(code);
    }
  }

  #step(code: number): void {
    switch (code) {
      case 0x80: // PROTO
        if (this.#u8() > 5) this.#options.fail("a pickle of a newer protocol");
        break;
      case 0x95: // FRAME
        this.#skip(8);
        break;
      case 0x28: // MARK
        this.#stack.push(mark);
        break;
      case 0x30: // POP
        if (this.#stack.pop() === undefined) this.#damaged();
        break;
      case 0x31: // POP_MARK
        this.#items();
        break;
      case 0x32: // DUP
        this.#stack.push(this.#top());
        break;
      case 0x4e: // NONE
        this.#stack.push(null);
        break;
      case 0x88: // NEWTRUE
      case 0x89: // NEWFALSE
        this.#stack.push(code === 0x88);
        break;
      case 0x4b: // BININT1
        this.#stack.push(this.#u8());
        break;
      case 0x4d: // BININT2
        this.#stack.push(this.#view.getUint16(this.#skip(2), true));
        break;
      case 0x4a: // BININT
        this.#stack.push(this.#view.getInt32(this.#skip(4), true));
        break;
      case 0x8a: // LONG1
        this.#stack.push(this.#long(this.#u8()));
        break;
      case 0x47: // BINFLOAT
        this.#stack.push(this.#view.getFloat64(this.#skip(8)));
        break;
      case 0x8c: // SHORT_BINUNICODE
        this.#stack.push(this.#string(this.#u8()));
        break;
      case 0x58: // BINUNICODE
        this.#stack.push(this.#string(this.#u32()));
        break;
      case 0x55: // SHORT_BINSTRING
        this.#stack.push(this.#string(this.#u8()));
        break;
      case 0x54: // BINSTRING
        this.#stack.push(this.#string(this.#u32()));
        break;
      case 0x43: // SHORT_BINBYTES
        this.#stack.push(this.#take(this.#u8()));
        break;
      case 0x42: // BINBYTES
        this.#stack.push(this.#take(this.#u32()));
        break;
      default:
        this.#build(code);
    }
  }

  /** Opcodes that make something of others. */
  #build(code: number): void {
    switch (code) {
      case 0x5d: // EMPTY_LIST
      case 0x29: // EMPTY_TUPLE
        this.#stack.push([]);
        break;
      case 0x7d: // EMPTY_DICT
        this.#stack.push(new Map());
        break;
      case 0x74: // TUPLE
      case 0x6c: // LIST
        this.#stack.push(this.#items());
        break;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        this.#stack.push(Array.from({ length: code - 0x84 }, () => this.#pop()).reverse());
        break;
      case 0x61: // APPEND
        this.#append([this.#pop()]);
        break;
      case 0x65: // APPENDS
        this.#append(this.#items());
        break;
      case 0x73: {
        // SETITEM
        const value = this.#pop();
        this.#setItems([this.#pop(), value]);
        break;
      }
      case 0x75: // SETITEMS
        this.#setItems(this.#items());
        break;
      case 0x71: // BINPUT
        this.#memo.set(this.#u8(), this.#top());
        break;
      case 0x72: // LONG_BINPUT
        this.#memo.set(this.#u32(), this.#top());
        break;
      case 0x94: // MEMOIZE
        this.#memo.set(this.#memo.size, this.#top());
        break;
      case 0x68: // BINGET
        this.#stack.push(this.#remembered(this.#u8()));
        break;
      case 0x6a: // LONG_BINGET
        this.#stack.push(this.#remembered(this.#u32()));
        break;
      case 0x63: {
        // GLOBAL
        const module = this.#line();
        this.#global(module, this.#line());
        break;
      }
      case 0x93: {
        // STACK_GLOBAL
        const name = this.#pop();
        const module = this.#pop();
        if (typeof name === "string" && typeof module === "string") this.#global(module, name);
        else this.#damaged();
        break;
      }
      case 0x52: // REDUCE
      case 0x81: // NEWOBJ
        this.#call();
        break;
      case 0x62: // BUILD: attributes of an object; of what is allowed they change nothing
        this.#pop();
        this.#top();
        break;
      case 0x51: // BINPERSID
        this.#stack.push(this.#options.persistent(this.#pop()));
        break;
      default:
        this.#options.fail(`a pickle with the instruction 0x${code.toString(16)}`);
    }
  }

  #damaged(): never {
    return this.#options.fail("a pickle is damaged");
  }

  #pop(): PickleValue {
    const value = this.#stack.pop();
    return value === undefined || value === mark ? this.#damaged() : value;
  }

  #top(): PickleValue {
    const value = this.#stack.at(-1);
    return value === undefined || value === mark ? this.#damaged() : value;
  }

  /** What is on the stack above the last mark. */
  #items(): PickleValue[] {
    const at = this.#stack.lastIndexOf(mark);
    if (at < 0) return this.#damaged();
    const items = this.#stack.splice(at);
    items.shift();
    return items as PickleValue[];
  }

  #append(items: readonly PickleValue[]): void {
    const list = this.#top();
    if (Array.isArray(list)) for (const item of items) list.push(item);
    else this.#damaged();
  }

  #setItems(items: readonly PickleValue[]): void {
    const map = this.#top();
    if (map instanceof Map && items.length % 2 === 0) {
      for (let i = 0; i < items.length; i += 2) map.set(items[i], items[i + 1]);
    } else this.#damaged();
  }

  #remembered(key: number): PickleValue {
    const value = this.#memo.get(key);
    return value === undefined ? this.#damaged() : value;
  }

  #global(module: string, name: string): void {
    const full = `${module}.${name}`;
    this.#options.allow(full);
    this.#stack.push(new PickleGlobal(full));
  }

  #call(): void {
    const args = this.#pop();
    const callee = this.#pop();
    if (callee instanceof PickleGlobal && Array.isArray(args)) {
      this.#stack.push(this.#options.call(callee.name, args));
    } else this.#damaged();
  }

  #skip(length: number): number {
    const { at } = this;
    if (at + length > this.#bytes.length) this.#options.ended();
    this.at += length;
    return at;
  }

  #u8(): number {
    return this.#bytes[this.#skip(1)];
  }

  #u32(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }

  #take(length: number): Uint8Array {
    const at = this.#skip(length);
    return this.#bytes.slice(at, at + length);
  }

  #string(length: number): string {
    const at = this.#skip(length);
    return this.#text.decode(this.#bytes.subarray(at, at + length));
  }

  /** Text up to the end of the line. */
  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.at);
    if (end < 0) return this.#options.ended();
    const text = this.#string(end - this.at);
    this.at++;
    return text;
  }

  /** Two's complement, little-endian, of at most 255 bytes. */
  #long(length: number): number | bigint {
    const at = this.#skip(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes[at + i]);
    if (length > 0 && this.#bytes[at + length - 1] >= 0x80) value -= 1n << BigInt(8 * length);
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }
}
