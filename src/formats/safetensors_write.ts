/**
 * Writes safetensors files: the header first, then one tensor at a time, laid out as the reference implementation does. Equal input
 * gives equal bytes.
 */
import { anObject, check, checkOptions, either, type Kind, type Kinds, oneOf } from "../core/check.js";
import { type DType, itemSize, newArray, type TypedArray } from "../core/dtype.js";
import { ArgumentError } from "../core/errors.js";
import { encodeBfloat16, encodeFloat16 } from "../core/half.js";
import { formatShape, sizeOf } from "../core/shape.js";
import { writeFileAtomic } from "./atomic.js";
import { quote } from "./excerpt.js";
import type { HostTensor, StoredTensor } from "./host.js";
import { isWellFormed } from "./json_text.js";
import { lengthBytes, maxHeaderBytes } from "./safetensors_header.js";

/** The header is padded so that the data begins at a multiple of this. */
const dataAlignment = 8;
/** Elements that are converted at once. */
const pieceElements = 2 ** 20;

/** The type in which float32 tensors are stored. */
export type FloatType = "F32" | "F16" | "BF16";

/** Options of writing safetensors files. */
export interface WriteOptions {
  /** F16 and BF16 halve the file; values are rounded to nearest, ties to even. Default F32. */
  readonly floatType?: FloatType;
}

/** A tensor whose values are read when it is written: a Tensor, or one of a file opened by `openSafetensors`. */
export interface ReadableTensor extends Pick<StoredTensor, "dtype" | "shape" | "data"> {
  /** The values in pieces, so that only one of them is in memory; optional. */
  pieces?: StoredTensor["pieces"];
}

/** Rank of a stored dtype in a file: the reference implementation puts wide ones first, then orders by name. */
const writeOrder = ["F32", "I32", "BF16", "F16", "I8", "U8", "BOOL"] as const;
type Stored = (typeof writeOrder)[number];

const itemSizes: Readonly<Record<Stored, number>> = {
  F32: 4,
  I32: 4,
  BF16: 2,
  F16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
};

const writeOptions: Kinds<WriteOptions> = { floatType: oneOf("F32", "F16", "BF16") };
const aTensorMap: Kind = [
  "a Map of { dtype, shape, data } by name",
  (value) => value instanceof Map || (Array.isArray(value) && value.every((entry) => Array.isArray(entry))),
  () => "hostTensors(model.stateDict()) makes one",
];

type Named<T> = Iterable<readonly [string, T]>;
type Metadata = Readonly<Record<string, string>>;

/**
 * The bytes of a safetensors file with these tensors: any iterable of [name, tensor], a Map for example. Equal input gives equal
 * bytes. For files larger than memory use `saveSafetensors`.
 *
 * @throws ArgumentError for duplicate or reserved names, names or metadata that are not valid Unicode, data that does
 * not match its shape or dtype, and a header above 100 MB.
 * @example
 * const weight = { dtype: "float32", shape: [2], data: Float32Array.of(1, 2) } as const;
 * const bytes = writeSafetensors([["weight", weight]], { format: "pt" });
 * readSafetensors(bytes).metadata.format; // "pt"
 */
export function writeSafetensors(
  tensors: Named<HostTensor>,
  metadata: Metadata = {},
  options: WriteOptions = {},
): Uint8Array {
  const op = "writeSafetensors";
  const { head, records, bytes } = planFile(op, tensors, metadata, options);
  const file = new Uint8Array(bytes);
  file.set(head);
  let at = head.length;
  for (const record of records) {
    for (const piece of encode(op, record, record.tensor.data)) {
      file.set(piece, at);
      at += piece.length;
    }
  }
  return file;
}

const aWritable: Kind = [
  "a WritableStream",
  (value) => typeof (value as WritableStream | undefined)?.getWriter === "function",
];
const aTarget: Kind = either(["a path", (value) => typeof value === "string"], aWritable);

/**
 * Writes a safetensors file with these tensors to a path (Node) or a stream. Tensors are read one after the other, in pieces where
 * possible; no more than that is in memory. A file is replaced when it is complete (`writeFileAtomic`); a stream is closed, or aborted
 * on failure.
 *
 * Parameters must not change meanwhile: a step between two tensors mixes old and new values, one within a tensor is an error.
 *
 * @throws ArgumentError as `writeSafetensors`; FileError if the file cannot be written; errors of `data()`.
 * @example
 * await saveSafetensors("half.safetensors", new Linear(3, 2).stateDict(), {}, { floatType: "BF16" });
 * const file = await openSafetensors("half.safetensors");
 * file.tensors.get("bias")!.bytes; // 4
 * await file.close();
 */
export async function saveSafetensors(
  target: string | WritableStream<Uint8Array>,
  tensors: Named<HostTensor | ReadableTensor>,
  metadata: Metadata = {},
  options: WriteOptions = {},
): Promise<void> {
  const op = "saveSafetensors";
  check(op, "the target", target, aTarget);
  const { head, records } = planFile(op, tensors, metadata, options);
  async function* pieces() {
    yield head;
    for (const record of records) {
      let elements = 0;
      for await (const part of partsOf(record.tensor)) {
        elements += part.length;
        yield* encode(op, record, part);
      }
      requireLength(op, record, elements);
    }
  }
  if (typeof target === "string") return writeFileAtomic(target, pieces());
  const writer = target.getWriter();
  try {
    // Copies: a stream may keep them, and pieces of files are memory that is used again.
    for await (const piece of pieces()) await writer.write(piece.slice());
    await writer.close();
  } catch (error) {
    await writer.abort(error).catch(() => {});
    throw error;
  } finally {
    writer.releaseLock();
  }
}

/** The values, all at once or in pieces. */
async function* partsOf(tensor: HostTensor | ReadableTensor): AsyncGenerator<TypedArray> {
  if (typeof tensor.data !== "function") yield tensor.data;
  else if ("pieces" in tensor && tensor.pieces) yield* tensor.pieces();
  else yield await tensor.data();
}

interface TensorRecord<T> {
  readonly name: string;
  readonly key: Uint8Array;
  readonly stored: Stored;
  readonly tensor: T;
}

interface Layout<T> {
  /** Length and header. */
  readonly head: Uint8Array;
  /** In the order of the file. */
  readonly records: readonly TensorRecord<T>[];
  /** Of the whole file. */
  readonly bytes: number;
}

function planFile<T extends HostTensor | ReadableTensor>(
  op: string,
  tensors: Named<T>,
  metadata: Metadata,
  options: WriteOptions,
): Layout<T> {
  check(op, "the tensors", tensors, aTensorMap);
  check(op, "the metadata", metadata, anObject);
  const { floatType = "F32" } = checkOptions(op, options, writeOptions);
  const encoder = new TextEncoder();
  const names = new Set<string>();
  const records: TensorRecord<T>[] = [];
  for (const [name, tensor] of tensors) {
    checkName(op, name, names);
    const { dtype, shape, data } = tensor;
    if (!Object.hasOwn(itemSize, dtype))
      throw new ArgumentError(`${quote(name)}: a dtype of ${dtype}`, { op });
    const isShape = shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0);
    if (!isShape) throw new ArgumentError(`${quote(name)}: shape ${formatShape(shape)}`, { op });
    const record = { name, key: encoder.encode(name), stored: storedAs(dtype, floatType), tensor };
    if (typeof data !== "function") {
      requireLength(op, record, data.length);
      requireKind(op, record, data);
    }
    records.push(record);
  }
  records.sort(
    (a, b) => writeOrder.indexOf(a.stored) - writeOrder.indexOf(b.stored) || compare(a.key, b.key),
  );

  const members = metadataMember(op, metadata);
  let end = 0;
  for (const { name, stored, tensor } of records) {
    const begin = end;
    const { shape } = tensor;
    end += sizeOf(shape) * itemSizes[stored];
    members.push(
      `${JSON.stringify(name)}:{"dtype":"${stored}","shape":[${shape.join(",")}],"data_offsets":[${begin},${end}]}`,
    );
  }
  const header = encoder.encode(`{${members.join(",")}}`);
  const headerBytes = Math.ceil(header.length / dataAlignment) * dataAlignment;
  if (headerBytes > maxHeaderBytes) {
    throw new ArgumentError(`header of ${headerBytes} bytes, more than the ${maxHeaderBytes} allowed`, {
      op,
    });
  }
  const head = new Uint8Array(lengthBytes + headerBytes).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(headerBytes), true);
  head.set(header, lengthBytes);
  return { head, records, bytes: head.length + end };
}

function metadataMember(op: string, metadata: Metadata): string[] {
  const strings = Object.entries(metadata);
  if (strings.length === 0) return [];
  for (const text of strings.flat()) {
    if (typeof text !== "string" || !isWellFormed(text)) {
      throw new ArgumentError("metadata are strings of valid Unicode", { op });
    }
  }
  const pairs = strings.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
  return [`"__metadata__":{${pairs.join(",")}}`];
}

function checkName(op: string, name: string, seen: Set<string>): void {
  if (name === "__metadata__") throw new ArgumentError('the name "__metadata__" is reserved', { op });
  if (!isWellFormed(name)) throw new ArgumentError(`${quote(name)} is not valid Unicode`, { op });
  if (seen.has(name)) throw new ArgumentError(`two tensors are named ${quote(name)}`, { op });
  seen.add(name);
}

function storedAs(dtype: DType, floatType: FloatType): Stored {
  const others = {
    float16: "F16",
    bfloat16: "BF16",
    int32: "I32",
    int8: "I8",
    uint8: "U8",
    bool: "BOOL",
  } as const;
  return dtype === "float32" ? floatType : others[dtype];
}

type AnyRecord = TensorRecord<HostTensor | ReadableTensor>;

/** @throws ArgumentError for an array of another kind than the dtype has. */
function requireKind(op: string, { name, stored, tensor: { dtype } }: AnyRecord, data: TypedArray): void {
  const isOfKind =
    data instanceof newArray(dtype, 0).constructor || (dtype === "float32" && data instanceof Float64Array);
  if (isOfKind && !(stored === "BOOL" && data.some((value) => value > 1))) return;
  throw new ArgumentError(`${quote(name)}: ${data.constructor.name} for ${dtype}`, { op });
}

/** @throws ArgumentError if there are not as many elements as the shape has. */
function requireLength(op: string, { name, tensor: { shape } }: AnyRecord, elements: number): void {
  if (elements === sizeOf(shape)) return;
  throw new ArgumentError(`${quote(name)}: ${elements} elements for shape ${formatShape(shape)}`, { op });
}

/** The bytes of values, in pieces. */
function* encode(
  op: string,
  record: TensorRecord<HostTensor | ReadableTensor>,
  data: TypedArray,
): Generator<Uint8Array> {
  requireKind(op, record, data);
  const { stored } = record;
  for (let at = 0; at < data.length; at += pieceElements) {
    const piece = data.subarray(at, at + pieceElements);
    if (record.tensor.dtype !== "float32") yield bytesOf(piece);
    else {
      const floats = piece instanceof Float32Array ? piece : new Float32Array(piece);
      if (stored === "F32") yield bytesOf(floats);
      else yield bytesOf(stored === "F16" ? encodeFloat16(floats) : encodeBfloat16(floats));
    }
  }
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
