/**
 * The beginning of a GGUF file, versions 2 and 3: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 *
 *     "GGUF" | u32 version | u64 tensors | u64 pairs | pairs: key, u32 type, value | tensors: name, u32 rank, u64 extents (innermost
 *     first), u32 type, u64 offset | padding | tensor data
 *
 * Nothing says how long it is: bytes are parsed from the start, and more are read when they end. Every count is compared with the
 * bytes that follow before anything is made of it.
 */
import { FormatError } from "../core/errors.js";
import type { ByteSource } from "./byte_source.js";
import { quote } from "./excerpt.js";
import { type GgufType, ggufTypes } from "./gguf_types.js";

type NumberArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

/** Integers of 64 bits are numbers where these are exact, else bigints. */
export type GgufValue = number | bigint | boolean | string | NumberArray | readonly GgufValue[];

export interface GgufTensorInfo {
  readonly type: GgufType;
  /** Row-major, outermost first. */
  readonly shape: readonly number[];
  /** Of the first byte, from the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

export interface GgufHeader {
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensorInfo>;
}

/** Bytes that are read first: enough for most models without a vocabulary. */
const firstRead = 256 * 1024;
/** Longest header: vocabularies take some MB. */
const maxHeaderBytes = 256 * 2 ** 20;
/** Of tensors: GGML_MAX_DIMS. */
const maxRank = 4;
/** Arrays within arrays; files have none. */
const maxNesting = 4;
const defaultAlignment = 32;

/** The header has more bytes than were read. */
class MoreBytes extends Error {}

/**
 * Reads the header in pieces that double.
 * @param leaveOut Keys whose arrays are passed over.
 * @throws FormatError for what is no GGUF file of these versions, or damaged.
 */
export async function readGgufHeader(
  source: ByteSource,
  op: string,
  signal: AbortSignal | undefined,
  leaveOut: RegExp | undefined,
): Promise<GgufHeader> {
  const { name, size } = source;
  const fail = (reason: string): never => {
    throw new FormatError(`${name}: ${reason}`, { op });
  };
  for (let length = Math.min(size, firstRead); ; length = Math.min(size, 4 * length)) {
    const bytes = await source.read(0, length, signal);
    try {
      return parse(new Cursor(bytes, size, fail), leaveOut);
    } catch (error) {
      if (!(error instanceof MoreBytes)) throw error;
      if (length > maxHeaderBytes) return fail(`a header of more than ${maxHeaderBytes} bytes`);
    }
  }
}

function parse(cursor: Cursor, leaveOut: RegExp | undefined): GgufHeader {
  if (cursor.size < 24) cursor.fail(`${cursor.size} bytes are too few for a header`);
  if (cursor.ascii(4) !== "GGUF") cursor.fail('not a GGUF file: it does not begin with "GGUF"');
  const version = cursor.u32();
  if (version > 0xffff) cursor.fail("big-endian files are not read");
  if (version !== 2 && version !== 3) cursor.fail(`version ${version}; 2 and 3 are read`);
  // A tensor takes 24 bytes at least, a pair 13.
  const tensorCount = cursor.count(24);
  const pairCount = cursor.count(13);
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < pairCount; i++) {
    const key = cursor.string();
    if (metadata.has(key)) cursor.fail(`the key ${quote(key)} appears twice`);
    const type = cursor.u32();
    if (type !== array || !leaveOut?.test(key)) metadata.set(key, readValue(cursor, type, 0));
    else skipArray(cursor, 0);
  }
  const alignment = metadata.get("general.alignment") ?? defaultAlignment;
  if (typeof alignment !== "number" || !Number.isInteger(Math.log2(alignment)) || alignment > 2 ** 30) {
    return cursor.fail(`general.alignment ${String(alignment)} is no power of two`);
  }
  const infos: [string, GgufTensorInfo][] = [];
  for (let i = 0; i < tensorCount; i++) infos.push(tensorOf(cursor));
  const dataStart = Math.ceil(cursor.at / alignment) * alignment;
  return { version, metadata, tensors: placed(infos, dataStart, alignment, cursor) };
}

function tensorOf(cursor: Cursor): [string, GgufTensorInfo] {
  const name = cursor.string();
  const rank = cursor.u32();
  if (rank > maxRank) cursor.fail(`${quote(name)} has rank ${rank}, more than ${maxRank}`);
  const shape = Array.from({ length: rank }, () => cursor.u64()).reverse();
  const number = cursor.u32();
  const type = ggufTypes().get(number);
  if (type === undefined) {
    const known = [...ggufTypes().values()].map((each) => each.name).join(", ");
    return cursor.fail(`${quote(name)} has type ${number}, which is not read; ${known} are`);
  }
  const { itemSize, blockSize = 1 } = type;
  let elements = 1;
  for (const extent of shape) {
    elements *= extent;
    if (!Number.isSafeInteger(elements * itemSize)) cursor.fail(`the size of ${quote(name)} overflows`);
  }
  const row = shape.at(-1) ?? 1;
  if (row % blockSize !== 0) {
    cursor.fail(`${quote(name)} has rows of ${row}, ${type.name} needs multiples of ${blockSize}`);
  }
  const bytes = (elements / blockSize) * itemSize;
  return [name, { type, shape, offset: cursor.u64(), bytes }];
}

/** The tensors by name in the order of their data: inside the file, at aligned places, without overlap. */
function placed(
  infos: readonly [string, GgufTensorInfo][],
  dataStart: number,
  alignment: number,
  cursor: Cursor,
): Map<string, GgufTensorInfo> {
  const tensors = new Map<string, GgufTensorInfo>();
  const inOrder = [...infos].sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);
  let end = 0;
  for (const [name, info] of inOrder) {
    if (tensors.has(name)) cursor.fail(`two tensors are named ${quote(name)}`);
    if (info.offset % alignment !== 0) cursor.fail(`${quote(name)} begins at ${info.offset}, not aligned`);
    if (info.offset < end) cursor.fail(`${quote(name)} overlaps the tensor before it`);
    end = info.offset + info.bytes;
    if (dataStart + end > cursor.size) {
      cursor.fail(`${quote(name)} ends at byte ${dataStart + end}, the file has ${cursor.size}`);
    }
    tensors.set(name, { ...info, offset: dataStart + info.offset });
  }
  return tensors;
}

/** Types of values by their numbers: how many bytes, and what reads one or a list of them. */
interface ScalarType {
  readonly bytes: number;
  readonly one: (view: DataView, at: number) => GgufValue;
  readonly many: new (length: number) => NumberArray;
}
const exact = (value: bigint) =>
  value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
const scalars: ReadonlyMap<number, ScalarType> = new Map([
  [0, { bytes: 1, one: (view, at) => view.getUint8(at), many: Uint8Array }],
  [1, { bytes: 1, one: (view, at) => view.getInt8(at), many: Int8Array }],
  [2, { bytes: 2, one: (view, at) => view.getUint16(at, true), many: Uint16Array }],
  [3, { bytes: 2, one: (view, at) => view.getInt16(at, true), many: Int16Array }],
  [4, { bytes: 4, one: (view, at) => view.getUint32(at, true), many: Uint32Array }],
  [5, { bytes: 4, one: (view, at) => view.getInt32(at, true), many: Int32Array }],
  [6, { bytes: 4, one: (view, at) => view.getFloat32(at, true), many: Float32Array }],
  [10, { bytes: 8, one: (view, at) => exact(view.getBigUint64(at, true)), many: BigUint64Array }],
  [11, { bytes: 8, one: (view, at) => exact(view.getBigInt64(at, true)), many: BigInt64Array }],
  [12, { bytes: 8, one: (view, at) => view.getFloat64(at, true), many: Float64Array }],
] satisfies [number, ScalarType][]);
const [bool, string, array] = [7, 8, 9];
/** Least bytes of an element of an array. */
const leastBytes = (type: number) =>
  scalars.get(type)?.bytes ?? { [bool]: 1, [string]: 8, [array]: 12 }[type];

function readValue(cursor: Cursor, type: number, depth: number): GgufValue {
  const scalar = scalars.get(type);
  if (scalar !== undefined) return cursor.scalar(scalar);
  if (type === bool) return cursor.bool();
  if (type === string) return cursor.string();
  if (type !== array) return cursor.fail(`a value of type ${type}`);
  if (depth === maxNesting) return cursor.fail("arrays are nested too deeply");
  const element = cursor.u32();
  const least = leastBytes(element);
  if (least === undefined) return cursor.fail(`an array of type ${element}`);
  const count = cursor.count(least);
  const scalarElement = scalars.get(element);
  if (scalarElement !== undefined) return cursor.scalars(scalarElement, count);
  const values: GgufValue[] = [];
  for (let i = 0; i < count; i++) values.push(readValue(cursor, element, depth + 1));
  return values;
}

/** Passes over an array of a key that is left out. */
function skipArray(cursor: Cursor, depth: number): void {
  if (depth === maxNesting) cursor.fail("arrays are nested too deeply");
  const element = cursor.u32();
  const least = leastBytes(element);
  if (least === undefined) cursor.fail(`an array of type ${element}`);
  const count = cursor.count(least!);
  if (element !== string && element !== array) cursor.skip(count * least!);
  else
    for (let i = 0; i < count; i++)
      element === string ? cursor.skip(cursor.count(1)) : skipArray(cursor, depth + 1);
}

/** Reads values one after another from the first bytes of a file of `size`. */
class Cursor {
  at = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  constructor(
    bytes: Uint8Array,
    readonly size: number,
    readonly fail: (reason: string) => never,
  ) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Passes over so many bytes; their place. */
  #take(length: number): number {
    const { at } = this;
    if (at + length > this.size) this.fail(`the header ends behind byte ${this.size}, where the file ends`);
    if (at + length > this.#bytes.length) throw new MoreBytes();
    this.at += length;
    return at;
  }

  skip(length: number): void {
    this.#take(length);
  }

  ascii(length: number): string {
    const at = this.#take(length);
    return String.fromCharCode(...this.#bytes.subarray(at, at + length));
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  u64(): number {
    const value = this.#view.getBigUint64(this.#take(8), true);
    if (value > Number.MAX_SAFE_INTEGER) this.fail(`a size of ${value}`);
    return Number(value);
  }

  /** A number of things of which each takes `least` bytes at least. */
  count(least: number): number {
    const value = this.u64();
    if (value * least > this.size - this.at) {
      this.fail(`${value} entries of ${least} bytes or more, in a file of ${this.size}`);
    }
    return value;
  }

  bool(): boolean {
    const byte = this.#bytes[this.#take(1)];
    if (byte > 1) this.fail(`a boolean of ${byte}`);
    return byte === 1;
  }

  string(): string {
    const length = this.count(1);
    const at = this.#take(length);
    try {
      return this.#text.decode(this.#bytes.subarray(at, at + length));
    } catch {
      return this.fail("a string is not valid UTF-8");
    }
  }

  scalar({ bytes, one }: ScalarType): GgufValue {
    return one(this.#view, this.#take(bytes));
  }

  /** A copy, of which nothing keeps the header's bytes alive. */
  scalars({ bytes, many }: ScalarType, count: number): NumberArray {
    const at = this.#take(count * bytes);
    const values = new many(count);
    new Uint8Array(values.buffer).set(this.#bytes.subarray(at, at + count * bytes));
    return values;
  }
}
