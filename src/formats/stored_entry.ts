/** A tensor in a file, read and decoded in pieces: what is in memory does not grow with the file. */
import { aString, check, nearestName } from "../core/check.js";
import { type DType, itemSize as elementBytes, newArray, type TypedArray } from "../core/dtype.js";
import { ArgumentError } from "../core/errors.js";
import type { ByteSource } from "./byte_source.js";
import { quote } from "./excerpt.js";
import type { HostTensor, StoredTensor } from "./host.js";
import type { StoredType } from "./safetensors_types.js";
import { giveScratch, takeScratch } from "./scratch.js";

/** Bytes that are read and decoded at once. */
export const pieceBytes = 2 ** 20;

/** Where the values of a tensor are. */
export interface Place {
  /** For messages. */
  readonly op: string;
  readonly name: string;
  readonly source: ByteSource;
  /** Of the first byte. */
  readonly offset: number;
  readonly bytes: number;
  readonly signal: AbortSignal | undefined;
}

export class StoredEntry implements StoredTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** The type's name in the file: `BF16`. */
  readonly stored: string;
  /** In the file. */
  readonly bytes: number;
  readonly #type: StoredType;
  readonly #place: Place;

  constructor(stored: string, type: StoredType, shape: readonly number[], place: Place) {
    this.stored = stored;
    this.dtype = type.dtype;
    this.shape = shape;
    this.bytes = place.bytes;
    this.#type = type;
    this.#place = place;
  }

  async data(): Promise<TypedArray> {
    const { isView, decode } = this.#type;
    if (isView) {
      const own = await this.#read(0, new Uint8Array(this.bytes));
      return decode(own, this.#decoding(0));
    }
    // Piece by piece: two copies of a tensor are never there as a whole.
    const result = newArray(this.dtype, this.#elements(this.bytes));
    let at = 0;
    for await (const piece of this.pieces()) {
      result.set(piece, at);
      at += piece.length;
    }
    return result;
  }

  /** The bytes of a matrix as they are in the file: uint8 [rows, bytes of a row]. */
  get raw(): StoredTensor {
    const { shape, bytes } = this;
    const type: StoredType = { itemSize: 1, dtype: "uint8", isView: true, decode: (part) => part };
    return new StoredEntry(this.stored, type, [shape[0], bytes / shape[0]], this.#place);
  }

  async *pieces(): AsyncGenerator<TypedArray> {
    const { itemSize, isView, decode, blockSize = 1, dtype } = this.#type;
    // Decoded, blocks of few bits have many times their bytes.
    const decoded = Math.max(itemSize, blockSize * elementBytes[dtype]);
    const whole = Math.floor(pieceBytes / decoded) * itemSize;
    const memory = takeScratch(Math.min(this.bytes, whole));
    const length = Math.min(this.bytes, whole);
    const decodedBytes = isView ? 0 : this.#elements(length) * elementBytes[dtype];
    const valueMemory = takeScratch(decodedBytes);
    const values = isView ? undefined : arrayOver(dtype, valueMemory, this.#elements(length));
    try {
      for (let at = 0; at < this.bytes; at += length) {
        const into = new Uint8Array(memory, 0, Math.min(length, this.bytes - at));
        yield decode(await this.#read(at, into), this.#decoding(this.#elements(at)), values);
      }
    } finally {
      giveScratch(memory);
      giveScratch(valueMemory);
    }
  }

  #elements(bytes: number): number {
    return (bytes / this.#type.itemSize) * (this.#type.blockSize ?? 1);
  }

  #decoding(first: number) {
    return { op: this.#place.op, name: this.#place.name, first };
  }

  /** Bytes of the tensor from `at` on; `into` is aligned, what a source gives may not be. */
  async #read(at: number, into: Uint8Array): Promise<Uint8Array> {
    const { source, offset, signal } = this.#place;
    const got = await source.read(offset + at, into.length, signal, into);
    if (got.buffer !== into.buffer || got.byteOffset !== into.byteOffset) into.set(got);
    return into;
  }
}

function arrayOver(dtype: DType, memory: ArrayBuffer, length: number): TypedArray {
  return Reflect.construct(newArray(dtype, 0).constructor, [memory, 0, length]);
}

/** Reads the tensor of that name. @throws ArgumentError if there is none; FileError, FormatError. */
export async function tensorNamed(
  tensors: ReadonlyMap<string, StoredTensor>,
  name: string,
  op: string,
): Promise<HostTensor> {
  const entry = tensors.get(check(op, "the name", name, aString));
  if (entry === undefined) {
    const nearest = nearestName(name, [...tensors.keys()]);
    throw new ArgumentError(`there is no tensor ${quote(name)}`, {
      op,
      hint: nearest === undefined ? undefined : `did you mean ${quote(nearest)}?`,
    });
  }
  return { dtype: entry.dtype, shape: entry.shape, data: await entry.data() };
}
