/** Files of Node at any position, larger than 4 GiB as well. */
import { type ByteSource, readOp, requireInside } from "./byte_source.js";
import { FileError, nodeFiles, reasonOf } from "./file.js";

/** The methods of `FileHandle` of `node:fs/promises` that are used. */
export interface FileHandleLike {
  readonly fd: number;
  stat(): Promise<{ readonly size: number; isFile(): boolean }>;
  read(
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesRead: number }>;
  close(): Promise<void>;
}

/** Most bytes that one call of the system reads: Node takes 2 GiB − 1. */
const maxRead = 2 ** 30;

export function isFileHandle(value: unknown): value is FileHandleLike {
  const { fd, read, stat } = (value ?? {}) as Partial<FileHandleLike>;
  return typeof fd === "number" && typeof read === "function" && typeof stat === "function";
}

/** @throws FileError naming the path and the reason: it does not exist, it is a directory or a device. */
export async function openFile(file: string | URL | FileHandleLike, op: string): Promise<ByteSource> {
  if (isFileHandle(file)) return sourceOf(file, `file ${file.fd}`, op, async () => {});
  const { fs, path: paths } = nodeFiles(op);
  const name = file instanceof URL ? decodeURIComponent(file.pathname) : file;
  let handle: FileHandleLike;
  try {
    handle = await fs.promises.open(file, "r");
  } catch (error) {
    throw new FileError(`cannot read ${name}: ${reasonOf(error)}`, { op, cause: error });
  }
  const beside = (other: string) =>
    openFile(
      file instanceof URL ? new URL(encodeURIComponent(other), file) : paths.join(paths.dirname(file), other),
      op,
    );
  try {
    return { ...(await sourceOf(handle, name, op, () => handle.close())), beside };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function sourceOf(
  handle: FileHandleLike,
  name: string,
  op: string,
  close: () => Promise<void>,
): Promise<ByteSource> {
  const fail = (reason: string, cause?: unknown) => {
    throw new FileError(`cannot read ${name}: ${reason}`, { op: readOp, cause });
  };
  const stat = await handle.stat();
  if (!stat.isFile()) throw new FileError(`cannot read ${name}: it is no plain file`, { op });
  let isOpen = true;
  const source: ByteSource = {
    name,
    size: stat.size,
    async read(offset, length, signal, into = new Uint8Array(length)) {
      requireInside(source, offset, length);
      for (let done = 0; done < length; ) {
        signal?.throwIfAborted();
        if (!isOpen) fail("it was closed");
        const part = Math.min(length - done, maxRead);
        const { bytesRead } = await handle
          .read(into, done, part, offset + done)
          .catch((error: unknown) => fail(reasonOf(error), error));
        if (bytesRead === 0) fail(`it ends at byte ${offset + done} now, of ${stat.size} when it was opened`);
        done += bytesRead;
      }
      return into;
    },
    async close() {
      if (isOpen) await close();
      isOpen = false;
    },
  };
  return source;
}
