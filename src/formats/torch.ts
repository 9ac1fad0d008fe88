/** Files of `torch.save`: https://pytorch.org/docs/stable/notes/serialization.html. Tensors are read, code is not run. */
import { aString, check, checkOptions, type Kinds } from "../core/check.js";
import { ArgumentError, FormatError } from "../core/errors.js";
import type { ByteSource } from "./byte_source.js";
import { quote } from "./excerpt.js";
import type { HostTensor, StoredTensor } from "./host.js";
import type { PickleValue } from "./pickle.js";
import { type StoredType, storedTypes } from "./safetensors_types.js";
import { aSourceInput, openSource, type SourceInput, type SourceOptions, sourceOptions } from "./source.js";
import { StoredEntry, tensorNamed } from "./stored_entry.js";
import { strided } from "./strided.js";
import { readTorchPickle, type TorchStorage, TorchTensor } from "./torch_pickle.js";
import { dataOffset, readZipDirectory } from "./zip.js";

const op = "openTorch";

/** Bytes of an old file that are read first, and most that its pickles may take. */
const firstRead = 256 * 1024;
const maxPickleBytes = 256 * 2 ** 20;
/** `torch.serialization.MAGIC_NUMBER`, with which old files begin. */
const magic = 0x1950a86a20f9469cfc6cn;
/** Dicts and lists inside each other. */
const maxDepth = 32;

/** A tensor in a file of PyTorch. */
export interface TorchEntry extends StoredTensor {
  /** The type in the file, as safetensors names it: `BF16`. */
  readonly stored: string;
}

/** A file of PyTorch that is open. */
export interface TorchFile {
  /** By name: keys of dicts within dicts joined by dots. */
  readonly tensors: ReadonlyMap<string, TorchEntry>;
  /** The keys that all names shared, and that were left out: `state_dict`. */
  readonly at: string;
  /** Reads one tensor. @throws ArgumentError if there is none of that name; FileError, FormatError. */
  tensor(name: string): Promise<HostTensor>;
  /** Ends reading; closes what `openTorch` has opened. */
  close(): Promise<void>;
}

/** Options of `openTorch`. */
export interface TorchOptions extends SourceOptions {
  /** The dict to read, for files with several: `model`, `optimizer.state`. By default all of them. */
  readonly at?: string;
}

const torchOptions: Kinds<TorchOptions> = { ...sourceOptions, at: aString };

/**
 * Opens a file of `torch.save` (`.pt`, `.pth`, `.bin`), of today (zip) or before PyTorch 1.6, and reads what describes its tensors.
 * A file with anything but tensors and plain values is refused by the name that it asks for, as `weights_only=True` does. Dtypes as
 * in `readSafetensors`. Values of views with strides are read as a whole.
 *
 * @throws FileError if the file is missing or cannot be read; FormatError for damaged files and those that ask for more than
 * tensors; ArgumentError if there are no tensors at `at`; the reason of `signal`.
 * @example
 * // openTorch("pytorch_model.bin") opens a file; its tensors are what model.loadStateDict takes.
 * await openTorch(Uint8Array.of(1, 2, 3, 4)); // throws FormatError
 */
export async function openTorch(input: SourceInput, options: TorchOptions = {}): Promise<TorchFile> {
  check(op, "the source", input, aSourceInput);
  const { at, ...rest } = checkOptions(op, options, torchOptions);
  const source = await openSource(input, rest);
  // A source of the caller stays open.
  const close = async () => {
    if (source !== input) await source.close();
  };
  try {
    const fail: Fail = (reason) => {
      throw new FormatError(`${source.name}: ${reason}`, { op });
    };
    const start = await source.read(0, Math.min(4, source.size), rest.signal);
    const isZip = start.length === 4 && start[0] === 0x50 && start[1] === 0x4b;
    const contents = await (isZip ? readZip : readLegacy)(source, fail, rest.signal);
    const found = named(contents.value, at);
    const tensors = new Map<string, TorchEntry>();
    for (const [name, tensor] of found.tensors) {
      tensors.set(name, await entryOf(name, tensor, contents, { source, fail, signal: rest.signal }));
    }
    return { tensors, at: found.at, tensor: (name) => tensorNamed(tensors, name, op), close };
  } catch (error) {
    await close();
    throw error;
  }
}

type Fail = (reason: string) => never;

interface Contents {
  readonly value: PickleValue;
  /** The first byte of a storage and how many it has. */
  placeOf(storage: TorchStorage): Promise<{ readonly offset: number; readonly bytes: number }>;
}

/** `<name>/data.pkl` describes, `<name>/data/<key>` are the storages. */
async function readZip(source: ByteSource, fail: Fail, signal: AbortSignal | undefined): Promise<Contents> {
  const entries = await readZipDirectory(source, fail, signal);
  for (const [name, { method, size, storedBytes }] of entries) {
    if (method !== 0) fail(`the entry ${quote(name)} is compressed, which PyTorch does not do`);
    if (size !== storedBytes) fail(`the entry ${quote(name)} is damaged`);
  }
  const path = [...entries.keys()].find((name) => /(^|\/)data\.pkl$/.test(name));
  if (path === undefined) return fail("the archive has no data.pkl: not a file of torch.save");
  const folder = path.slice(0, -"data.pkl".length);
  const contentsOf = async (name: string, most: number) => {
    const entry = entries.get(name);
    if (entry === undefined || entry.size > most) return undefined;
    return source.read(await dataOffset(source, entry, fail, signal), entry.size, signal);
  };
  const order = await contentsOf(`${folder}byteorder`, 16);
  if (order !== undefined && new TextDecoder().decode(order) !== "little")
    fail("big-endian files are not read");
  const pickle = (await contentsOf(path, maxPickleBytes)) ?? fail("its data.pkl is too long");
  const ended: () => never = () => fail("its data.pkl is truncated");
  return {
    value: readTorchPickle(pickle, 0, { fail, ended }).value,
    async placeOf({ key }) {
      const entry = entries.get(`${folder}data/${key}`) ?? fail(`the storage ${quote(key)} is missing`);
      return { offset: await dataOffset(source, entry, fail, signal), bytes: entry.size };
    },
  };
}

/** The pickles of an old file go on behind the bytes that were read. */
class MoreBytes extends Error {}

/** Pickles one behind the other (magic number, version, system, contents, keys of storages), then the storages. */
async function readLegacy(
  source: ByteSource,
  fail: Fail,
  signal: AbortSignal | undefined,
): Promise<Contents> {
  for (let length = Math.min(source.size, firstRead); ; length = Math.min(source.size, 4 * length)) {
    const bytes = await source.read(0, length, signal);
    const ended: () => never = () => {
      if (length === source.size) fail("the file is truncated");
      throw new MoreBytes();
    };
    try {
      const values: PickleValue[] = [];
      let end = 0;
      for (let i = 0; i < 5; i++) {
        const read = readTorchPickle(bytes, end, {
          fail: i === 0 ? () => fail("not a file of torch.save") : fail,
          ended,
        });
        if (i === 0 && read.value !== magic) fail("not a file of torch.save");
        values.push(read.value);
        ({ end } = read);
      }
      return { value: values[3], placeOf: await legacyPlaces(values, end, source, fail, signal) };
    } catch (error) {
      if (!(error instanceof MoreBytes)) throw error;
      if (length > maxPickleBytes) return fail("its pickles are too long");
    }
  }
}

/** Storages follow each other in the order of their keys: i64 elements, then values. */
async function legacyPlaces(
  values: readonly PickleValue[],
  start: number,
  source: ByteSource,
  fail: Fail,
  signal: AbortSignal | undefined,
): Promise<Contents["placeOf"]> {
  const keys = values[4];
  if (!Array.isArray(keys)) return fail("the file has no list of storages");
  const sizes = new Map(
    tensorsIn(values[3]).map(([, { storage }]) => [storage.key, typeNamed(storage.stored).itemSize]),
  );
  const places = new Map<string, { offset: number; bytes: number }>();
  let at = start;
  for (const key of keys) {
    const itemSize = sizes.get(keyText(key));
    // Without a tensor its type is not known; nothing behind it could be found.
    if (itemSize === undefined) return fail(`no tensor uses the storage ${quote(keyText(key))}`);
    if (at + 8 > source.size) return fail("the file is truncated");
    const head = await source.read(at, 8, signal);
    const elements = new DataView(head.buffer, head.byteOffset, 8).getBigInt64(0, true);
    const bytes = Number(elements) * itemSize;
    if (elements < 0n || at + 8 + bytes > source.size) return fail("the file is truncated");
    places.set(keyText(key), { offset: at + 8, bytes });
    at += 8 + bytes;
  }
  return async ({ key }) => places.get(key) ?? fail(`the storage ${quote(key)} is missing`);
}

const typeNamed = (stored: string): StoredType => storedTypes().get(stored)!;

/** A key as a part of a name. Tuples are not written out: one that holds others many times over would be very long. */
function keyText(key: unknown): string {
  return typeof key === "string" || typeof key === "number" ? String(key) : typeof key;
}

/** Tensors with the keys that lead to them; shared and circular parts once. */
function tensorsIn(value: PickleValue): [string[], TorchTensor][] {
  const found: [string[], TorchTensor][] = [];
  const seen = new Set<unknown>();
  const visit = (each: unknown, path: string[]): void => {
    if (each instanceof TorchTensor) found.push([path, each]);
    if (!(Array.isArray(each) || each instanceof Map) || seen.has(each) || path.length > maxDepth) return;
    seen.add(each);
    for (const [key, inner] of each.entries()) visit(inner, [...path, keyText(key)]);
  };
  visit(value, []);
  return found;
}

/** Names without the keys that all have, or below `at`. */
function named(
  value: PickleValue,
  at: string | undefined,
): { at: string; tensors: Map<string, TorchTensor> } {
  const all = tensorsIn(value).map(([path, tensor]) => ({
    path: path.length === 0 ? ["tensor"] : path,
    tensor,
  }));
  const shared = all.length === 0 ? [] : all.map(({ path }) => path.slice(0, -1)).reduce(commonStart);
  const prefix = at ?? shared.join(".");
  const start = prefix === "" ? "" : `${prefix}.`;
  const tensors = new Map<string, TorchTensor>();
  for (const { path, tensor } of all) {
    const name = path.join(".");
    if (name.startsWith(start)) tensors.set(name.slice(start.length), tensor);
  }
  if (at !== undefined && tensors.size === 0) {
    throw new ArgumentError(`there are no tensors at ${quote(at)}`, {
      op,
      hint: [...new Set(all.map(({ path }) => path[0]))].slice(0, 8).map(quote).join(", "),
    });
  }
  return { at: prefix, tensors };
}

function commonStart(a: readonly string[], b: readonly string[]): string[] {
  const differs = a.findIndex((key, i) => key !== b[i]);
  return a.slice(0, differs < 0 ? a.length : differs);
}

interface Reading {
  readonly source: ByteSource;
  readonly fail: Fail;
  readonly signal: AbortSignal | undefined;
}

async function entryOf(
  name: string,
  tensor: TorchTensor,
  contents: Contents,
  reading: Reading,
): Promise<TorchEntry> {
  const { source, fail, signal } = reading;
  const { storage, shape, strides, offset } = tensor;
  const type = typeNamed(storage.stored);
  const size = shape.reduce((product, extent) => product * extent, 1);
  const span = size === 0 ? 0 : 1 + shape.reduce((sum, extent, i) => sum + (extent - 1) * strides[i], 0);
  if (!Number.isSafeInteger(size) || !Number.isSafeInteger(span)) fail(`${quote(name)}: its size overflows`);
  // More elements than memory: a small file would become a large array.
  if (size > storage.elements || offset + span > storage.elements)
    fail(`${quote(name)} is larger than its storage`);
  const place = await contents.placeOf(storage);
  const first = (storage.offset + offset) * type.itemSize;
  if (first + span * type.itemSize > place.bytes) fail(`${quote(name)} is larger than its storage`);
  const at = { op, name, source, offset: place.offset + first, signal };
  const values = new StoredEntry(storage.stored, type, shape, { ...at, bytes: span * type.itemSize });
  if (isContiguous(shape, strides)) return values;
  return strided(values, strides, size);
}

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) return shape.includes(0);
    expected *= shape[i];
  }
  return true;
}
