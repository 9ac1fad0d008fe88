/**
 * IDX, the format of MNIST: http://yann.lecun.com/exdb/mnist ("the IDX file format").
 *
 *     0 0 | type (8 = unsigned byte) | rank | rank extents, u32 big-endian | values, row-major
 *
 * Plain or gzip-compressed (recognized by its first two bytes). A compressed file is unpacked only as far as its own
 * header says, so a small file cannot unfold into memory without end.
 */
import { aNumber, check, checkOptions, fileBytes, type Kinds } from "../core/check.js";
import { FormatError } from "../core/errors.js";
import { formatShape } from "../core/shape.js";
import { gunzip, isGzip, joinChunks } from "./gzip.js";
import type { HostTensor } from "./host.js";

const op = "readIdx";
const unsignedByte = 0x08;
/** Far above any data set in this format (MNIST has 3), and small enough to keep the header short. */
const maxRank = 8;
/** One gibibyte: 20 times the MNIST training images. */
const defaultMaximum = 1_073_741_824;
/** DEFLATE cannot compress better than 1032:1 (a 258-byte match in 2 bits), so a claim beyond that is a lie. */
const deflateRatio = 1032;

/** Options of `readIdx`. */
export interface IdxOptions {
  /** Maximum number of elements. Default 2^30. */
  readonly maximum?: number;
}

const idxOptions: Kinds<IdxOptions> = { maximum: aNumber };

/**
 * Reads an IDX file of unsigned bytes, plain or gzip-compressed, into a uint8 tensor of the file's shape.
 *
 * @example
 * const { shape, data } = await readIdx(Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 2, 5, 7));
 * shape; // [2]
 * data; // [5, 7]
 *
 * @throws FormatError for another type, a rank outside 1..8, more than `maximum` elements, fewer or more bytes than the
 * extents say, or damaged compression.
 */
export async function readIdx(bytes: Uint8Array, options: IdxOptions = {}): Promise<HostTensor> {
  check(op, "the file", bytes, fileBytes);
  const { maximum = defaultMaximum } = checkOptions(op, options, idxOptions);
  if (!isGzip(bytes)) return readPlain(bytes, maximum);
  return readPlain(await inflate(bytes, maximum), maximum);
}

function readPlain(bytes: Uint8Array, maximum: number): HostTensor {
  const header = readHeader(bytes, maximum);
  if (header === undefined) throw new FormatError(`${bytes.length} bytes are too few for the header`, { op });
  const { shape, headerBytes, size } = header;
  if (bytes.length !== headerBytes + size) {
    const found = bytes.length - headerBytes;
    throw new FormatError(`${formatShape(shape)} needs ${size} bytes of values, the file has ${found}`, {
      op,
    });
  }
  return { dtype: "uint8", shape, data: bytes.slice(headerBytes) };
}

interface IdxHeader {
  readonly shape: number[];
  readonly headerBytes: number;
  readonly size: number;
}

/** Undefined if `bytes` ends before the header does. */
function readHeader(bytes: Uint8Array, maximum: number): IdxHeader | undefined {
  if (bytes.length < 4) return undefined;
  if (bytes[0] !== 0 || bytes[1] !== 0)
    throw new FormatError("not an IDX file: it does not begin with 0 0", { op });
  if (bytes[2] !== unsignedByte) {
    throw new FormatError(`values of type 0x${bytes[2].toString(16)}, only 0x8 (unsigned byte) is read`, {
      op,
    });
  }
  const rank = bytes[3];
  if (rank < 1 || rank > maxRank) throw new FormatError(`rank ${rank}, expected 1 to ${maxRank}`, { op });
  const headerBytes = 4 + 4 * rank;
  if (bytes.length < headerBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  let size = 1;
  for (const extent of shape) {
    size *= extent;
    if (size > maximum) {
      throw new FormatError(`${formatShape(shape)} has more than the ${maximum} elements allowed`, { op });
    }
  }
  return { shape, headerBytes, size };
}

/** Unpacks until the header's own size is reached; a byte more ends it. */
async function inflate(bytes: Uint8Array, maximum: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  let header: IdxHeader | undefined;
  for await (const chunk of gunzip(bytes, op)) {
    chunks.push(chunk);
    length += chunk.length;
    if (header === undefined) {
      header = readHeader(joinChunks(chunks, length), maximum);
      if (header === undefined) continue;
      if (header.size > bytes.length * deflateRatio) {
        throw new FormatError(`${bytes.length} compressed bytes cannot hold ${formatShape(header.shape)}`, {
          op,
        });
      }
    }
    if (length > header.headerBytes + header.size) {
      throw new FormatError(`the file unpacks to more than ${formatShape(header.shape)}`, { op });
    }
  }
  return joinChunks(chunks, length);
}
