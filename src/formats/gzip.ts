/** gzip (RFC 1952) and deflate (RFC 1951), unpacked piece by piece, so that a reader stops where its own format ends. */
import { FormatError } from "../core/errors.js";

/** Whether bytes begin as gzip files do. */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/**
 * The unpacked bytes in pieces. Leaving the loop ends the unpacking: a small file cannot unfold into memory without end.
 *
 * @throws FormatError of `op` for damaged or truncated compression.
 */
export function gunzip(bytes: Uint8Array, op: string): AsyncGenerator<Uint8Array> {
  return unpack(bytes, "gzip", op);
}

async function* unpack(bytes: Uint8Array, format: CompressionFormat, op: string): AsyncGenerator<Uint8Array> {
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>])
    .stream()
    .pipeThrough(new DecompressionStream(format));
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw new FormatError(`the ${format} compression is damaged`, { op, cause: error });
      });
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/**
 * What was deflated, of `size` bytes.
 *
 * @throws FormatError of `op` for damaged or truncated compression, and for another size.
 */
export async function inflate(bytes: Uint8Array, size: number, op: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of unpack(bytes, "deflate-raw", op)) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > size) break;
  }
  if (length !== size) throw new FormatError(`unpacked, there are not ${size} bytes`, { op });
  return joinChunks(chunks, length);
}

/** Pieces of `length` bytes together as one array. */
export function joinChunks(chunks: readonly Uint8Array[], length: number): Uint8Array {
  if (chunks.length === 1) return chunks[0];
  const joined = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    joined.set(chunk, at);
    at += chunk.length;
  }
  return joined;
}
