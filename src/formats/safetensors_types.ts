/**
 * The dtypes of safetensors files and their values as ours. Values are little-endian, as on every engine with wasm.
 *
 * F8_E4M3 is the variant without infinities (bias 7, largest 448), F8_E5M2 a half float without its low byte: OCP 8-bit
 * floating point specification, https://www.opencompute.org/documents/ocp-8-bit-floating-point-specification-ofp8-revision-1-0-2023-12-01-pdf-1
 */
import type { DType, TypedArray } from "../core/dtype.js";
import { FormatError } from "../core/errors.js";
import { decodeBfloat16, decodeFloat16 } from "../core/half.js";
import { quote } from "./excerpt.js";

/** Which elements are decoded, for messages. */
export interface Decoding {
  readonly op: string;
  /** The tensor. */
  readonly name: string;
  /** The element that the bytes begin with. */
  readonly first: number;
}

export interface StoredType {
  /** Bytes of an element, or of a block of elements. */
  readonly itemSize: number;
  /** Elements of a block, if there are blocks. */
  readonly blockSize?: number;
  /** Of the values. */
  readonly dtype: DType;
  /**
   * Values out of whole elements; at an address that is a multiple of `itemSize`. The result is a view of `bytes` or is in `into`,
   * which has room for as many, if it is given.
   * @throws FormatError naming the tensor and the value where one does not fit.
   */
  decode(bytes: Uint8Array, decoding: Decoding, into?: TypedArray): TypedArray;
  /** Whether values are a view of the bytes. */
  readonly isView?: boolean;
}

const floats = (into: TypedArray | undefined, size: number) =>
  into instanceof Float32Array ? into.subarray(0, size) : new Float32Array(size);
const integers = (into: TypedArray | undefined, size: number) =>
  into instanceof Int32Array ? into.subarray(0, size) : new Int32Array(size);

interface ViewOf<T> {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBuffer, byteOffset: number, length: number): T;
}

function view<T>(View: ViewOf<T>, { buffer, byteOffset, byteLength }: Uint8Array): T {
  return new View(buffer as ArrayBuffer, byteOffset, byteLength / View.BYTES_PER_ELEMENT);
}

function asIs<T extends TypedArray>(dtype: DType, View: ViewOf<T>): StoredType {
  const { BYTES_PER_ELEMENT: itemSize } = View;
  return { itemSize, dtype, isView: true, decode: (bytes) => view(View, bytes) };
}

/** Integers of fewer bits. */
function widened(View: ViewOf<Int16Array | Uint16Array>): StoredType {
  return {
    itemSize: 2,
    dtype: "int32",
    decode(bytes, _, into) {
      const values = view(View, bytes);
      const result = integers(into, values.length);
      result.set(values);
      return result;
    },
  };
}

/** Integers that may not fit: `fits` tells of the words of an element, the lowest first. */
function narrowed(
  View: ViewOf<Uint32Array | BigInt64Array | BigUint64Array>,
  fits: (low: number, high: number) => boolean,
): StoredType {
  const { BYTES_PER_ELEMENT: itemSize } = View;
  return {
    itemSize,
    dtype: "int32",
    decode(bytes, decoding, into) {
      const words = view(Int32Array, bytes);
      const stride = itemSize / 4;
      const result = integers(into, words.length / stride);
      for (let i = 0; i < result.length; i++) {
        const low = words[i * stride];
        if (!fits(low, words[i * stride + stride - 1])) {
          throw unfit(decoding, view(View, bytes)[i], i, "does not fit int32");
        }
        result[i] = low;
      }
      return result;
    },
  };
}

function unfit(
  { op, name, first }: Decoding,
  value: number | bigint,
  i: number,
  problem: string,
): FormatError {
  return new FormatError(`${quote(name)}: ${value} at element ${first + i} ${problem}`, { op });
}

/** Floats of 8 bits, by a table of all of them. */
function fromTable(make: () => Float32Array): StoredType {
  let table: Float32Array | undefined;
  return {
    itemSize: 1,
    dtype: "float32",
    decode(bytes, _, into) {
      table ??= make();
      const result = floats(into, bytes.length);
      for (let i = 0; i < bytes.length; i++) result[i] = table[bytes[i]];
      return result;
    },
  };
}

/** S.1111.111 is NaN, there is no infinity; exponent 0 is subnormal. */
function e4m3(byte: number): number {
  const sign = byte & 0x80 ? -1 : 1;
  const [exponent, mantissa] = [(byte >> 3) & 0xf, byte & 7];
  if ((byte & 0x7f) === 0x7f) return Number.NaN;
  return sign * (exponent === 0 ? mantissa * 2 ** -9 : (8 + mantissa) * 2 ** (exponent - 10));
}

/** Made when it is first asked for, so that bundlers leave it out where nothing is. */
let types: ReadonlyMap<string, StoredType> | undefined;

/** By the names in files; the others are refused by name. */
export function storedTypes(): ReadonlyMap<string, StoredType> {
  types ??= new Map<string, StoredType>([
    ["F32", asIs("float32", Float32Array)],
    [
      "F16",
      {
        itemSize: 2,
        dtype: "float32",
        decode: (bytes, _, into) => {
          const halves = view(Uint16Array, bytes);
          return decodeFloat16(halves, floats(into, halves.length));
        },
      },
    ],
    [
      "BF16",
      {
        itemSize: 2,
        dtype: "float32",
        decode: (bytes, _, into) => {
          const halves = view(Uint16Array, bytes);
          return decodeBfloat16(halves, floats(into, halves.length));
        },
      },
    ],
    [
      "F64",
      {
        itemSize: 8,
        dtype: "float32",
        decode(bytes, decoding, into) {
          const values = view(Float64Array, bytes);
          const result = floats(into, values.length);
          for (let i = 0; i < values.length; i++) {
            result[i] = values[i];
            if (Number.isFinite(values[i]) && !Number.isFinite(result[i])) {
              throw unfit(decoding, values[i], i, "does not fit float32");
            }
          }
          return result;
        },
      },
    ],
    ["F8_E4M3", fromTable(() => Float32Array.from({ length: 256 }, (_, byte) => e4m3(byte)))],
    ["F8_E5M2", fromTable(() => decodeFloat16(Uint16Array.from({ length: 256 }, (_, byte) => byte << 8)))],
    ["I64", narrowed(BigInt64Array, (low, high) => high === low >> 31)],
    ["I32", asIs("int32", Int32Array)],
    ["I16", widened(Int16Array)],
    ["I8", asIs("int8", Int8Array)],
    ["U64", narrowed(BigUint64Array, (low, high) => high === 0 && low >= 0)],
    ["U32", narrowed(Uint32Array, (low) => low >= 0)],
    ["U16", widened(Uint16Array)],
    ["U8", asIs("uint8", Uint8Array)],
    [
      "BOOL",
      {
        itemSize: 1,
        dtype: "bool",
        isView: true,
        decode(bytes, decoding) {
          const bad = bytes.findIndex((value) => value > 1);
          if (bad >= 0) throw unfit(decoding, bytes[bad], bad, "is no BOOL");
          return bytes;
        },
      },
    ],
  ]);
  return types;
}
