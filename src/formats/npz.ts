/** Files of `numpy.savez`: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. Arrays are read, objects refused. */
import { check, checkOptions } from "../core/check.js";
import { FormatError } from "../core/errors.js";
import type { ByteSource } from "./byte_source.js";
import { quote } from "./excerpt.js";
import { inflate } from "./gzip.js";
import type { HostTensor, StoredTensor } from "./host.js";
import { type StoredType, storedTypes } from "./safetensors_types.js";
import { aSourceInput, openSource, type SourceInput, type SourceOptions, sourceOptions } from "./source.js";
import { StoredEntry, tensorNamed } from "./stored_entry.js";
import { strided } from "./strided.js";
import { dataOffset, readZipDirectory } from "./zip.js";

const op = "openNpz";

/** Types by numpy's kind and bytes; halves, doubles and integers of other sizes are read as in safetensors files. */
const typeNames: Readonly<Record<string, string>> = {
  f2: "F16",
  f4: "F32",
  f8: "F64",
  i1: "I8",
  i2: "I16",
  i4: "I32",
  i8: "I64",
  u1: "U8",
  u2: "U16",
  u4: "U32",
  u8: "U64",
  b1: "BOOL",
};

/** An array in a file of numpy. */
export interface NpzEntry extends StoredTensor {
  /** The type in the file, as safetensors names it: `F64`. */
  readonly stored: string;
}

/** A file of `numpy.savez` that is open. */
export interface NpzFile {
  /** By the names that `savez` was given. */
  readonly tensors: ReadonlyMap<string, NpzEntry>;
  /** Reads one array. @throws ArgumentError if there is none of that name; FileError, FormatError. */
  tensor(name: string): Promise<HostTensor>;
  /** Ends reading; closes what `openNpz` has opened. */
  close(): Promise<void>;
}

/**
 * Opens a file of `numpy.savez`, and reads what describes its arrays; compressed ones (`savez_compressed`) are unpacked at once.
 * Dtypes as in `readSafetensors`.
 *
 * @throws FileError if the file is missing or cannot be read; FormatError for damaged files, big-endian arrays and objects; the
 * reason of `signal`.
 * @example
 * // openNpz("weights.npz") opens a file; its tensors are what model.loadStateDict takes.
 * await openNpz(Uint8Array.of(1, 2, 3, 4)); // throws FormatError
 */
export async function openNpz(input: SourceInput, options: SourceOptions = {}): Promise<NpzFile> {
  check(op, "the source", input, aSourceInput);
  const { signal, ...rest } = checkOptions(op, options, sourceOptions);
  const source = await openSource(input, { ...rest, ...(signal && { signal }) });
  // A source of the caller stays open.
  const close = async () => {
    if (source !== input) await source.close();
  };
  const fail: Fail = (reason) => {
    throw new FormatError(`${source.name}: ${reason}`, { op });
  };
  try {
    const tensors = new Map<string, NpzEntry>();
    for (const [path, entry] of await readZipDirectory(source, fail, signal)) {
      if (!path.endsWith(".npy")) continue;
      const offset = await dataOffset(source, entry, fail, signal);
      const name = path.slice(0, -".npy".length);
      const array: Place = { name, source, offset, bytes: entry.size, signal, fail };
      if (entry.method === 0) tensors.set(name, await entryOf(array));
      else if (entry.method === 8) {
        const packed = await source.read(offset, entry.storedBytes, signal);
        const unpacked = await openSource(await inflate(packed, entry.size, op));
        tensors.set(name, await entryOf({ ...array, source: unpacked, offset: 0 }));
      } else fail(`the array ${quote(name)} has compression ${entry.method}; stored and deflated are read`);
    }
    return { tensors, tensor: (name) => tensorNamed(tensors, name, op), close };
  } catch (error) {
    await close();
    throw error;
  }
}

type Fail = (reason: string) => never;

/** An array with its header. */
interface Place {
  readonly name: string;
  readonly source: ByteSource;
  readonly offset: number;
  readonly bytes: number;
  readonly signal: AbortSignal | undefined;
  readonly fail: Fail;
}

async function entryOf(place: Place): Promise<NpzEntry> {
  const { name, source, offset, bytes, signal, fail } = place;
  const start = await source.read(offset, Math.min(12, bytes), signal);
  const isArray = start.length === 12 && String.fromCharCode(...start.subarray(1, 6)) === "NUMPY";
  if (!isArray || start[0] !== 0x93) fail(`${quote(name)} is no array`);
  // The length has 2 bytes in version 1, 4 since.
  const view = new DataView(start.buffer, start.byteOffset, start.length);
  const first = start[6] === 1 ? 10 : 12;
  const length = start[6] === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (first + length > bytes) fail(`the header of ${quote(name)} is truncated`);
  const header = new TextDecoder().decode(await source.read(offset + first, length, signal));
  const descr = /'descr': *'([^']*)'/.exec(header)?.[1];
  const order = /'fortran_order': *(True|False)/.exec(header)?.[1];
  const extents = /'shape': *\(([\d, ]*)\)/.exec(header)?.[1];
  if (descr === undefined || order === undefined || extents === undefined) {
    return fail(`${quote(name)} is an array of records, or its header is damaged`);
  }
  const stored = /^[<|]/.test(descr) ? typeNames[descr.slice(1)] : undefined;
  if (stored === undefined) {
    return fail(`${quote(name)} is of dtype ${quote(descr)}; little-endian numbers and booleans are read`);
  }
  const type: StoredType = storedTypes().get(stored)!;
  const shape = extents
    .split(",")
    .filter((part) => part.trim() !== "")
    .map(Number);
  const size = shape.reduce((product, extent) => product * extent, 1);
  const own = size * type.itemSize;
  if (!Number.isSafeInteger(own) || own !== bytes - first - length) {
    return fail(`${quote(name)} has ${bytes - first - length} bytes, [${shape.join(", ")}] needs ${own}`);
  }
  const at = { op, name, source, offset: offset + first + length, bytes: own, signal };
  const values = new StoredEntry(stored, type, shape, at);
  if (order === "False" || shape.length < 2) return values;
  const strides = shape.map((_, i) => shape.slice(0, i).reduce((product, extent) => product * extent, 1));
  return strided(values, strides, size);
}
