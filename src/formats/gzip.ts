/** gzip (RFC 1952), unpacked piece by piece, so that a reader stops where its own format ends. */
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
export async function* gunzip(bytes: Uint8Array, op: string): AsyncGenerator<Uint8Array> {
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>])
    .stream()
    .pipeThrough(new DecompressionStream("gzip"));
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw new FormatError("the gzip compression is damaged", { op, cause: error });
      });
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
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
