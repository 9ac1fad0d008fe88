/**
 * The beginning of a safetensors file, by its own closed grammar:
 *
 *     u64 little-endian header length | JSON header, padded with spaces | tensor data
 *     { "name": { "dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24] }, …, "__metadata__": { "key": "value" } }
 *
 * Every offset is checked before memory is touched, and the tensors tile the data exactly.
 */
import { FormatError } from "../core/errors.js";
import { quote } from "./excerpt.js";
import { JsonText } from "./json_text.js";
import { storedTypes } from "./safetensors_types.js";

/** Longest header the format allows. */
export const maxHeaderBytes = 100_000_000;
/** Of the header's length. */
export const lengthBytes = 8;

/** Who reads which file, for messages. */
export interface Reading {
  readonly op: string;
  /** The file's name, where it is known. */
  readonly name?: string;
}

/** One tensor as the header describes it. */
export interface TensorEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** First byte and the one behind the last, counted from the end of the header. */
  readonly begin: number;
  readonly end: number;
}

export interface Header {
  /** In the order of the header. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** The strings of `__metadata__`; an object without prototype, empty if the file has none. */
  readonly metadata: Readonly<Record<string, string>>;
}

export function formatError({ op, name }: Reading, message: string): FormatError {
  return new FormatError(name === undefined ? message : `${name}: ${message}`, { op });
}

/**
 * The first byte behind the header, by the first 8 bytes of a file of `fileBytes`.
 * @throws FormatError for a header that the file is too short for, or that the format does not allow.
 */
export function dataStartOf(start: Uint8Array, fileBytes: number, reading: Reading): number {
  if (start.length < lengthBytes) {
    throw formatError(reading, `${fileBytes} bytes are too few for a header length`);
  }
  const declared = new DataView(start.buffer, start.byteOffset, lengthBytes).getBigUint64(0, true);
  if (declared > BigInt(maxHeaderBytes)) {
    throw formatError(reading, `header of ${declared} bytes, more than the ${maxHeaderBytes} allowed`);
  }
  const dataStart = lengthBytes + Number(declared);
  if (dataStart > fileBytes)
    throw formatError(reading, `header of ${declared} bytes in a file of ${fileBytes}`);
  return dataStart;
}

/**
 * The header, by its bytes and the number of those behind it.
 * @throws FormatError for anything that the specification forbids.
 */
export function parseHeader(bytes: Uint8Array, dataBytes: number, reading: Reading): Header {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw formatError(reading, "the header is not valid UTF-8");
  }
  const header = parseText(text, reading);
  for (const [name, entry] of header.tensors) checkEntry(name, entry, reading);
  checkCoverage(header.tensors, dataBytes, reading);
  return header;
}

function parseText(text: string, reading: Reading): Header {
  const tensors = new Map<string, TensorEntry>();
  const metadata: Record<string, string> = Object.create(null);
  const json = new JsonText(text, (at, reason) => formatError(reading, `bad header at ${at}: ${reason}`));
  if (text[0] !== "{") json.fail('the header does not begin with "{"');
  json.object((name) => {
    if (name !== "__metadata__") tensors.set(name, parseEntry(json, name));
    else {
      json.object((key) => {
        metadata[key] = json.string();
      }, " in __metadata__");
    }
  });
  json.end();
  return { tensors, metadata };
}

function parseEntry(json: JsonText, name: string): TensorEntry {
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  json.object(
    (key) => {
      if (key === "dtype") dtype = json.string();
      else if (key === "shape") shape = json.integers();
      else if (key === "data_offsets") offsets = json.integers();
      else json.fail(`unknown key ${quote(key)} in the entry of ${quote(name)}`);
    },
    ` in the entry of ${quote(name)}`,
  );
  if (dtype === undefined || shape === undefined || offsets?.length !== 2) {
    return json.fail(`the entry of ${quote(name)} needs dtype, shape and two data_offsets`);
  }
  return { dtype, shape, begin: offsets[0], end: offsets[1] };
}

function checkEntry(name: string, { dtype, shape, begin, end }: TensorEntry, reading: Reading): void {
  const type = storedTypes().get(dtype);
  if (type === undefined) {
    throw new FormatError(
      `${reading.name === undefined ? "" : `${reading.name}: `}${quote(name)}: dtype ${quote(dtype)} is not supported`,
      { op: reading.op, hint: `one of ${[...storedTypes().keys()].join(", ")}` },
    );
  }
  let size = type.itemSize;
  for (const extent of shape) {
    size *= extent;
    // Checked at every step, as the reference does: [2^52, 2^52, 0] overflows although its product is 0.
    if (!Number.isSafeInteger(size)) {
      throw formatError(reading, `${quote(name)}: the size of its shape overflows`);
    }
  }
  if (end < begin || end - begin !== size) {
    throw formatError(
      reading,
      `${quote(name)}: ${size} bytes of shape and ${dtype}, but data_offsets [${begin}, ${end}]`,
    );
  }
}

/** The tensors in the order of their data; of equal offsets, empty ones first. */
export function inFileOrder(tensors: ReadonlyMap<string, TensorEntry>): [string, TensorEntry][] {
  return [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
}

/** The tensors must follow each other from 0 to the end: no hole, no overlap, no rest. */
function checkCoverage(tensors: ReadonlyMap<string, TensorEntry>, dataBytes: number, reading: Reading): void {
  let at = 0;
  for (const [name, { begin, end }] of inFileOrder(tensors)) {
    if (begin !== at) {
      const problem = begin > at ? "leaves a hole" : "overlaps the tensor before it";
      throw formatError(
        reading,
        `${quote(name)}: data_offsets [${begin}, ${end}] ${problem}, ${at} expected`,
      );
    }
    at = end;
  }
  if (at !== dataBytes) {
    throw formatError(reading, `the tensors take ${at} bytes, the file has ${dataBytes}`);
  }
}
