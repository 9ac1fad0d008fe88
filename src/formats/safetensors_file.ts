/**
 * safetensors files that are read in parts: the header first, then one tensor at a time. What is in memory does not grow with the
 * file.
 */
import { aFunction, check, checkOptions, type Kinds } from "../core/check.js";
import type { ByteSource } from "./byte_source.js";
import { quote } from "./excerpt.js";
import { FileError } from "./file.js";
import type { HostTensor, StoredTensor } from "./host.js";
import { dataStartOf, formatError, inFileOrder, lengthBytes, parseHeader } from "./safetensors_header.js";
import { maxIndexBytes, parseIndex } from "./safetensors_index.js";
import { storedTypes } from "./safetensors_types.js";
import { aSourceInput, openSource, type SourceInput, type SourceOptions, sourceOptions } from "./source.js";
import { StoredEntry, tensorNamed } from "./stored_entry.js";

const op = "openSafetensors";

/** A tensor in a safetensors file. */
export interface SafetensorsEntry extends StoredTensor {
  /** The dtype in the file, for example `BF16`. */
  readonly stored: string;
  /** Size in the file, in bytes. */
  readonly bytes: number;
}

/** An open safetensors file, or all files of an index. */
export interface SafetensorsFile {
  /** By name, in the order of the data in the file, file after file. `loadStateDict` accepts it. */
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;
  /** The strings of `__metadata__`; of several files, those of the first that has a key. An object without prototype. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Reads one tensor. @throws ArgumentError if there is none of that name; FileError, FormatError. */
  tensor(name: string): Promise<HostTensor>;
  /** Closes the files that `openSafetensors` opened. */
  close(): Promise<void>;
}

/** Options of `openSafetensors`. */
export interface OpenOptions extends SourceOptions {
  /** Aborts opening and every read of the file. */
  readonly signal?: AbortSignal;
  /** Maps a file name in an index to its source. Default: the file in the index's directory, for paths and URLs. */
  readonly shard?: (name: string) => SourceInput | Promise<SourceInput>;
}

const openOptions: Kinds<OpenOptions> = { ...sourceOptions, shard: aFunction };

/**
 * Opens a safetensors file of any size, or all files of an index (a name that ends with `.json`). It reads only the headers, with two
 * small reads per file. Values are read on request; the dtypes are those of `readSafetensors`.
 *
 * @throws FileError if a file is missing or cannot be read; FormatError for anything that `readSafetensors` refuses, and for an index
 * that does not fit its files; the reason of `signal`.
 * @example
 * await saveSafetensors("model.safetensors", new Linear(3, 2).stateDict());
 * const file = await openSafetensors("model.safetensors");
 * file.tensors.get("weight")!.shape; // [2, 3]
 * // Reads a piece of one tensor at a time.
 * await new Linear(3, 2).loadStateDict(file.tensors);
 * await file.close();
 */
export async function openSafetensors(
  input: SourceInput,
  options: OpenOptions = {},
): Promise<SafetensorsFile> {
  check(op, "the source", input, aSourceInput);
  const { shard, ...rest } = checkOptions(op, options, openOptions);
  const opened: ByteSource[] = [];
  const open: Opener = async (from) => {
    const source = await openSource(from, rest);
    // A source of the caller stays open.
    if (source !== from) opened.push(source);
    return source;
  };
  try {
    const source = await open(input);
    if (!/\.json$/i.test(source.name)) return fileOf([await openOne(source, rest.signal)], opened);
    const openShard = async (name: string) => {
      if (shard !== undefined) return open(await shard(name));
      if (source.beside === undefined) {
        throw new FileError(`${source.name}: its file ${name} is not known`, {
          op,
          hint: "give the option shard",
        });
      }
      const other = await source.beside(name, rest.signal);
      opened.push(other);
      return other;
    };
    return fileOf(await openShards(source, openShard, rest.signal), opened);
  } catch (error) {
    await closeAll(opened);
    throw error;
  }
}

type Opener = (from: SourceInput) => Promise<ByteSource>;

interface OneFile {
  readonly tensors: Map<string, SafetensorsEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

async function openOne(source: ByteSource, signal: AbortSignal | undefined): Promise<OneFile> {
  const { name, size } = source;
  const start = await source.read(0, Math.min(lengthBytes, size), signal);
  const dataStart = dataStartOf(start, size, { op, name });
  const header = await source.read(lengthBytes, dataStart - lengthBytes, signal);
  const { tensors: entries, metadata } = parseHeader(header, size - dataStart, { op, name });
  const tensors = new Map<string, SafetensorsEntry>();
  for (const [key, { dtype: stored, shape, begin, end }] of inFileOrder(entries)) {
    const place = { op, name: key, source, offset: dataStart + begin, bytes: end - begin, signal };
    tensors.set(key, new StoredEntry(stored, storedTypes().get(stored)!, shape, place));
  }
  return { tensors, metadata };
}

/** Opens the files of an index one after another and checks that each holds what the index says, and nothing else. */
async function openShards(
  index: ByteSource,
  openShard: (name: string) => Promise<ByteSource>,
  signal: AbortSignal | undefined,
): Promise<OneFile[]> {
  const { name: place, size } = index;
  const reading = { op, name: place };
  if (size > maxIndexBytes)
    throw formatError(reading, `an index of ${size} bytes, more than ${maxIndexBytes}`);
  const shardOf = parseIndex(await index.read(0, size, signal), reading);
  const files: OneFile[] = [];
  const found = new Map<string, string>();
  for (const fileName of new Set(shardOf.values())) {
    const file = await openOne(await openShard(fileName), signal);
    for (const name of file.tensors.keys()) {
      const other = found.get(name);
      if (other !== undefined) throw formatError(reading, `${quote(name)} is in ${other} and in ${fileName}`);
      if (!shardOf.has(name))
        throw formatError(reading, `${fileName} holds ${quote(name)}, which the index lacks`);
      found.set(name, fileName);
    }
    files.push(file);
  }
  for (const [name, fileName] of shardOf) {
    const actual = found.get(name);
    if (actual === fileName) continue;
    const where = actual === undefined ? "which does not hold it" : `but is in ${actual}`;
    throw formatError(reading, `${quote(name)} should be in ${fileName}, ${where}`);
  }
  return files;
}

function fileOf(files: readonly OneFile[], opened: readonly ByteSource[]): SafetensorsFile {
  const tensors = new Map(files.flatMap((file) => [...file.tensors]));
  const metadata: Record<string, string> = Object.create(null);
  for (const file of files) {
    for (const [key, text] of Object.entries(file.metadata)) metadata[key] ??= text;
  }
  return {
    tensors,
    metadata,
    tensor: (name) => tensorNamed(tensors, name, op),
    close: () => closeAll(opened),
  };
}

async function closeAll(sources: readonly ByteSource[]): Promise<void> {
  for (const source of sources) await source.close();
}
