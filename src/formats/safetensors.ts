/**
 * safetensors, the weight format of the Hugging Face Hub: https://github.com/huggingface/safetensors (README, "Format").
 *
 *     u64 little-endian header length | JSON header, padded with spaces | tensor data
 *
 * The reader trusts nothing: every offset is checked before memory is touched, the tensors tile the data exactly, and
 * what it allocates is bounded by the file's own length. Values are little-endian, as on every engine with wasm.
 */

import { anObject, check, checkOptions, fileBytes, type Kind, type Kinds, oneOf } from "../core/check.js";
import type { DType, TypedArray } from "../core/dtype.js";
import { ArgumentError, FormatError } from "../core/errors.js";
import { decodeBfloat16, decodeFloat16, encodeBfloat16, encodeFloat16 } from "../core/half.js";
import { formatShape, sizeOf } from "../core/shape.js";
import { quote } from "./excerpt.js";
import type { HostTensor } from "./host.js";
import { isWellFormed, parseHeader, type TensorEntry } from "./safetensors_header.js";

/** Longest header the format allows. */
const maxHeaderBytes = 100_000_000;
const lengthBytes = 8;
/** The header is padded so that the data begins at a multiple of this. */
const dataAlignment = 8;

const readOp = { op: "readSafetensors" } as const;
const writeOp = { op: "writeSafetensors" } as const;

interface StoredType {
  readonly itemSize: number;
  readonly dtype: DType;
  /** Values out of a buffer of their own; throws FormatError naming the tensor where one does not fit. */
  decode(buffer: ArrayBuffer, name: string): TypedArray;
}

const storedTypes = new Map<string, StoredType>([
  ["F32", { itemSize: 4, dtype: "float32", decode: (buffer) => new Float32Array(buffer) }],
  ["F16", { itemSize: 2, dtype: "float32", decode: (buffer) => decodeFloat16(new Uint16Array(buffer)) }],
  ["BF16", { itemSize: 2, dtype: "float32", decode: (buffer) => decodeBfloat16(new Uint16Array(buffer)) }],
  ["F64", { itemSize: 8, dtype: "float32", decode: narrowFloat64 }],
  ["I32", { itemSize: 4, dtype: "int32", decode: (buffer) => new Int32Array(buffer) }],
  ["I64", { itemSize: 8, dtype: "int32", decode: narrowInt64 }],
  ["U8", { itemSize: 1, dtype: "uint8", decode: (buffer) => new Uint8Array(buffer) }],
  ["I8", { itemSize: 1, dtype: "int8", decode: (buffer) => new Int8Array(buffer) }],
  ["BOOL", { itemSize: 1, dtype: "bool", decode: decodeBool }],
]);

/** What a safetensors file holds. */
export interface Safetensors {
  /** By name, in the order of the header. */
  readonly tensors: Map<string, HostTensor>;
  /** The strings of `__metadata__`; an object without prototype, empty if the file has none. */
  readonly metadata: Record<string, string>;
}

/**
 * Reads a whole file. F32, I32, U8, I8 and BOOL are taken as they are; F16 and BF16 become float32 exactly; F64
 * becomes float32 (rounded) and I64 int32 where every value fits. The result does not share memory with `bytes`.
 *
 * @throws FormatError for anything the specification forbids: a length that the file does not have, invalid UTF-8 or
 * JSON, duplicate keys, unknown dtypes, sizes that do not match their offsets, holes, overlaps and trailing bytes.
 * @example
 * const { tensors } = readSafetensors(new Uint8Array(await (await fetch(url)).arrayBuffer()));
 * tensors.get("fc1.weight")?.shape; // [128, 784]
 */
export function readSafetensors(bytes: Uint8Array): Safetensors {
  check(readOp.op, "the file", bytes, fileBytes);
  if (bytes.length < lengthBytes) {
    throw new FormatError(`${bytes.length} bytes are too few for a header length`, readOp);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const declared = view.getBigUint64(0, true);
  if (declared > BigInt(maxHeaderBytes)) {
    throw new FormatError(`header of ${declared} bytes, more than the ${maxHeaderBytes} allowed`, readOp);
  }
  const dataStart = lengthBytes + Number(declared);
  if (dataStart > bytes.length) {
    throw new FormatError(`header of ${declared} bytes in a file of ${bytes.length}`, readOp);
  }
  const { tensors: entries, metadata } = parseHeader(decodeUtf8(bytes.subarray(lengthBytes, dataStart)));
  for (const [name, entry] of entries) checkEntry(name, entry);
  checkCoverage(entries, bytes.length - dataStart);

  const tensors = new Map<string, HostTensor>();
  for (const [name, { dtype: stored, shape, begin, end }] of entries) {
    const type = storedTypes.get(stored)!;
    // Own memory: the data may be unaligned in the file, and the file's buffer should not be kept alive.
    const values = new Uint8Array(end - begin);
    values.set(bytes.subarray(dataStart + begin, dataStart + end));
    tensors.set(name, { dtype: type.dtype, shape, data: type.decode(values.buffer, name) });
  }
  const strings: Record<string, string> = Object.create(null);
  for (const [key, value] of metadata) strings[key] = value;
  return { tensors, metadata: strings };
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new FormatError("the header is not valid UTF-8", readOp);
  }
}

function checkEntry(name: string, { dtype, shape, begin, end }: TensorEntry): void {
  const type = storedTypes.get(dtype);
  if (type === undefined) {
    const known = [...storedTypes.keys()].join(", ");
    throw new FormatError(`${quote(name)}: dtype ${quote(dtype)} is not supported`, {
      ...readOp,
      hint: `one of ${known}`,
    });
  }
  let size = type.itemSize;
  for (const extent of shape) {
    size *= extent;
    // Checked at every step, as the reference does: [2^52, 2^52, 0] overflows although its product is 0.
    if (!Number.isSafeInteger(size)) {
      throw new FormatError(`${quote(name)}: the size of its shape overflows`, readOp);
    }
  }
  if (end < begin || end - begin !== size) {
    throw new FormatError(
      `${quote(name)}: ${size} bytes of shape and ${dtype}, but data_offsets [${begin}, ${end}]`,
      readOp,
    );
  }
}

/** The tensors, ordered by offset, must follow each other from 0 to the end: no hole, no overlap, no rest. */
function checkCoverage(entries: ReadonlyMap<string, TensorEntry>, dataBytes: number): void {
  const ordered = [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let at = 0;
  for (const [name, { begin, end }] of ordered) {
    if (begin !== at) {
      const problem = begin > at ? "leaves a hole" : "overlaps the tensor before it";
      throw new FormatError(
        `${quote(name)}: data_offsets [${begin}, ${end}] ${problem}, ${at} expected`,
        readOp,
      );
    }
    at = end;
  }
  if (at !== dataBytes) {
    throw new FormatError(`the tensors take ${at} bytes, the file has ${dataBytes}`, readOp);
  }
}

function narrowFloat64(buffer: ArrayBuffer, name: string): Float32Array {
  const values = new Float64Array(buffer);
  const result = new Float32Array(values);
  for (let i = 0; i < values.length; i++) {
    if (Number.isFinite(values[i]) && !Number.isFinite(result[i])) {
      throw new FormatError(`${quote(name)}: ${values[i]} at element ${i} does not fit float32`, readOp);
    }
  }
  return result;
}

function narrowInt64(buffer: ArrayBuffer, name: string): Int32Array {
  const values = new BigInt64Array(buffer);
  const result = new Int32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    result[i] = Number(BigInt.asIntN(32, values[i]));
    if (BigInt(result[i]) !== values[i]) {
      throw new FormatError(`${quote(name)}: ${values[i]} at element ${i} does not fit int32`, readOp);
    }
  }
  return result;
}

function decodeBool(buffer: ArrayBuffer, name: string): Uint8Array {
  const values = new Uint8Array(buffer);
  const bad = values.findIndex((value) => value > 1);
  if (bad >= 0) throw new FormatError(`${quote(name)}: ${values[bad]} at element ${bad} is no BOOL`, readOp);
  return values;
}

/** How float32 tensors are stored. */
export type FloatType = "F32" | "F16" | "BF16";

export interface WriteOptions {
  /** F16 and BF16 halve the file; values are rounded to nearest, ties to even. Default F32. */
  readonly floatType?: FloatType;
}

/** Rank of a stored dtype in a file: the reference implementation puts wide ones first, then orders by name. */
const writeOrder = ["F32", "I32", "BF16", "F16", "I8", "U8", "BOOL"];

const writeOptions: Kinds<WriteOptions> = { floatType: oneOf("F32", "F16", "BF16") };
const aTensorMap: Kind = [
  "a Map of { dtype, shape, data } by name",
  (value) => value instanceof Map || (Array.isArray(value) && value.every((entry) => Array.isArray(entry))),
  () => "hostTensors(model.stateDict()) makes one",
];

/**
 * The bytes of a file with these tensors: any iterable of [name, tensor], a Map for example. Equal input gives equal
 * bytes, laid out as the reference implementation does.
 *
 * @throws ArgumentError for duplicate or reserved names, names or metadata that are not valid Unicode, data that does
 * not match its shape or dtype, and a header above 100 MB.
 * @example
 * const weight = { dtype: "float32", shape: [2], data: new Float32Array([1, 2]) } as const;
 * const bytes = writeSafetensors([["weight", weight]], { format: "pt" });
 */
export function writeSafetensors(
  tensors: Iterable<readonly [string, HostTensor]>,
  metadata: Readonly<Record<string, string>> = {},
  options: WriteOptions = {},
): Uint8Array {
  check(writeOp.op, "the tensors", tensors, aTensorMap);
  check(writeOp.op, "the metadata", metadata, anObject);
  const { floatType = "F32" } = checkOptions(writeOp.op, options, writeOptions);
  const encoder = new TextEncoder();
  const names = new Set<string>();
  const records = [];
  for (const [name, tensor] of tensors) {
    checkName(name, names);
    const stored = encode(name, tensor, floatType);
    records.push({ name, key: encoder.encode(name), shape: tensor.shape, ...stored });
  }
  records.sort(
    (a, b) => writeOrder.indexOf(a.stored) - writeOrder.indexOf(b.stored) || compare(a.key, b.key),
  );

  const members: string[] = [];
  const strings = Object.entries(metadata);
  if (strings.length > 0) {
    for (const text of strings.flat()) {
      if (typeof text !== "string" || !isWellFormed(text)) {
        throw new ArgumentError("metadata are strings of valid Unicode", writeOp);
      }
    }
    const pairs = strings.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
    members.push(`"__metadata__":{${pairs.join(",")}}`);
  }
  let end = 0;
  for (const { name, stored, shape, bytes } of records) {
    const begin = end;
    end += bytes.length;
    members.push(
      `${JSON.stringify(name)}:{"dtype":"${stored}","shape":[${shape.join(",")}],"data_offsets":[${begin},${end}]}`,
    );
  }
  const header = encoder.encode(`{${members.join(",")}}`);
  const headerBytes = Math.ceil(header.length / dataAlignment) * dataAlignment;
  if (headerBytes > maxHeaderBytes) {
    throw new ArgumentError(
      `header of ${headerBytes} bytes, more than the ${maxHeaderBytes} allowed`,
      writeOp,
    );
  }

  const file = new Uint8Array(lengthBytes + headerBytes + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerBytes), true);
  file.set(header, lengthBytes);
  file.fill(0x20, lengthBytes + header.length, lengthBytes + headerBytes);
  let at = lengthBytes + headerBytes;
  for (const { bytes } of records) {
    file.set(bytes, at);
    at += bytes.length;
  }
  return file;
}

function checkName(name: string, seen: Set<string>): void {
  if (name === "__metadata__") throw new ArgumentError('the name "__metadata__" is reserved', writeOp);
  if (!isWellFormed(name)) throw new ArgumentError(`${quote(name)} is not valid Unicode`, writeOp);
  if (seen.has(name)) throw new ArgumentError(`two tensors are named ${quote(name)}`, writeOp);
  seen.add(name);
}

function encode(
  name: string,
  tensor: HostTensor,
  floatType: FloatType,
): { stored: string; bytes: Uint8Array } {
  const { dtype, shape, data } = tensor;
  if (
    !shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0) ||
    data.length !== sizeOf(shape)
  ) {
    throw new ArgumentError(
      `${quote(name)}: ${data.length} elements for shape ${formatShape(shape)}`,
      writeOp,
    );
  }
  const mismatch = () => new ArgumentError(`${quote(name)}: ${data.constructor.name} for ${dtype}`, writeOp);
  if (dtype === "float32") {
    if (!(data instanceof Float32Array || data instanceof Float64Array)) throw mismatch();
    const values = data instanceof Float32Array ? data : new Float32Array(data);
    if (floatType === "F16") return { stored: floatType, bytes: bytesOf(encodeFloat16(values)) };
    if (floatType === "BF16") return { stored: floatType, bytes: bytesOf(encodeBfloat16(values)) };
    return { stored: "F32", bytes: bytesOf(values) };
  }
  if (dtype === "int32" && data instanceof Int32Array) return { stored: "I32", bytes: bytesOf(data) };
  if (dtype === "int8" && data instanceof Int8Array) return { stored: "I8", bytes: bytesOf(data) };
  if (dtype === "uint8" && data instanceof Uint8Array) return { stored: "U8", bytes: data };
  if (dtype === "bool" && data instanceof Uint8Array && data.every((value) => value <= 1)) {
    return { stored: "BOOL", bytes: data };
  }
  throw mismatch();
}

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** Order of UTF-8 bytes, which is the order of code points; UTF-16 order would differ beyond U+FFFF. */
function compare(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}
