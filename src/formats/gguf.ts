/** GGUF, the files of llama.cpp: metadata, vocabulary included, and tensors in floats or in blocks of quantized values. */
import { check, checkOptions, type Kinds } from "../core/check.js";
import { type GgufValue, readGgufHeader } from "./gguf_header.js";
import type { HostTensor, StoredTensor } from "./host.js";
import { aSourceInput, openSource, type SourceInput, type SourceOptions, sourceOptions } from "./source.js";
import { StoredEntry, tensorNamed } from "./stored_entry.js";

const op = "openGguf";

/** A tensor in a GGUF file. */
export interface GgufEntry extends StoredTensor {
  /** The type in the file: `Q4_K`. */
  readonly stored: string;
  /** Bytes in the file. */
  readonly bytes: number;
  /** They themselves: uint8 [rows, bytes of a row]. */
  readonly raw: StoredTensor;
}

/** A GGUF file that is open. */
export interface GgufFile {
  /** 2 or 3. */
  readonly version: number;
  /** `general.architecture`, `llama.block_count`, `tokenizer.ggml.tokens`, … Arrays of numbers are typed arrays. */
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** By name, in the order of the data. Shapes are row-major, the reverse of the file's: a linear layer is [out, in]. */
  readonly tensors: ReadonlyMap<string, GgufEntry>;
  /** Reads one tensor. @throws ArgumentError if there is none of that name; FileError. */
  tensor(name: string): Promise<HostTensor>;
  /** Ends reading; closes what `openGguf` has opened. */
  close(): Promise<void>;
}

/** Options of `openGguf`. */
export interface GgufOptions extends SourceOptions {
  /** Keys of metadata whose arrays are left out, such as a vocabulary of which tens of thousands of strings would be made. */
  readonly leaveOut?: RegExp;
}

const ggufOptions: Kinds<GgufOptions> = {
  ...sourceOptions,
  leaveOut: ["a RegExp", (value) => value instanceof RegExp],
};

/**
 * Opens a GGUF file (version 2 or 3) and reads its header only. F32, F16, BF16, F64, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K and
 * Q6_K become float32, bit for bit as in the Python package gguf; I8 stays, I16, I32 and I64 become int32.
 *
 * @throws FileError if the file is missing or cannot be read; FormatError for damaged files, other versions, other types of tensors;
 * the reason of `signal`.
 * @example
 * // A header without tensors and metadata: "GGUF" and version 3.
 * const bytes = new Uint8Array(24);
 * bytes.set([71, 71, 85, 70, 3]);
 * const file = await openGguf(bytes);
 * file.version; // 3
 * file.tensors.size; // 0
 * await file.close();
 */
export async function openGguf(input: SourceInput, options: GgufOptions = {}): Promise<GgufFile> {
  check(op, "the source", input, aSourceInput);
  const { leaveOut, ...rest } = checkOptions(op, options, ggufOptions);
  const { signal } = rest;
  const source = await openSource(input, rest);
  // A source of the caller stays open.
  const close = async () => {
    if (source !== input) await source.close();
  };
  try {
    const { version, metadata, tensors: infos } = await readGgufHeader(source, op, signal, leaveOut);
    const tensors = new Map<string, GgufEntry>();
    for (const [name, { type, shape, offset, bytes }] of infos) {
      tensors.set(name, new StoredEntry(type.name, type, shape, { op, name, source, offset, bytes, signal }));
    }
    return { version, metadata, tensors, tensor: (name) => tensorNamed(tensors, name, op), close };
  } catch (error) {
    await close();
    throw error;
  }
}
