/**
 * safetensors, the weight format of the Hugging Face Hub: https://github.com/huggingface/safetensors (README, "Format").
 * This reads a file that is in memory; safetensors_file.ts reads parts of larger ones, safetensors_write.ts writes.
 */
import { check, fileBytes } from "../core/check.js";
import type { HostTensor } from "./host.js";
import { dataStartOf, lengthBytes, parseHeader } from "./safetensors_header.js";
import { storedTypes } from "./safetensors_types.js";

const op = "readSafetensors";

/** The contents of a safetensors file. */
export interface Safetensors {
  /** By name, in the order of the header. */
  readonly tensors: Map<string, HostTensor>;
  /** The strings of `__metadata__`; an object without prototype, empty if the file has none. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Reads a whole file; `openSafetensors` reads parts of one. F32, I32, U8, I8 and BOOL keep their type. F16, BF16, F8_E4M3 and
 * F8_E5M2 become float32 exactly, F64 float32 (rounded); I16 and U16 become int32, as do I64, U64 and U32 if every value fits. The
 * result does not share memory with `bytes`.
 *
 * @throws FormatError for anything the specification forbids: a length that the file does not have, invalid UTF-8 or
 * JSON, duplicate keys, sizes that do not match their offsets, holes, overlaps and trailing bytes; for other dtypes, and for values
 * that do not fit.
 * @example
 * const bias = { dtype: "float32", shape: [2], data: Float32Array.of(1, 2) } as const;
 * const { tensors } = readSafetensors(writeSafetensors([["bias", bias]]));
 * tensors.get("bias")!.data; // [1, 2]
 */
export function readSafetensors(bytes: Uint8Array): Safetensors {
  check(op, "the file", bytes, fileBytes);
  const dataStart = dataStartOf(bytes.subarray(0, lengthBytes), bytes.length, { op });
  const header = parseHeader(bytes.subarray(lengthBytes, dataStart), bytes.length - dataStart, { op });
  const tensors = new Map<string, HostTensor>();
  for (const [name, { dtype: stored, shape, begin, end }] of header.tensors) {
    const { dtype, decode } = storedTypes().get(stored)!;
    // Own memory: the data may be unaligned in the file, and the file's buffer should not be kept alive.
    const values = new Uint8Array(end - begin);
    values.set(bytes.subarray(dataStart + begin, dataStart + end));
    tensors.set(name, { dtype, shape, data: decode(values, { op, name, first: 0 }) });
  }
  return { tensors, metadata: header.metadata };
}
