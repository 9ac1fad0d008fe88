/** Writing a file so that a crash at any moment leaves either the old one or the new one, whole. Node only. */
import { aString, check, fileBytes } from "../core/check.js";
import { FileError, nodeFiles, reasonOf } from "./file.js";
import { type FileTarget, targetOf } from "./target.js";

const op = "writeFileAtomic";
const permissionBits = 0o7777;
/** Milliseconds until a descriptor that takes nothing at the moment (EAGAIN) is tried again. */
const retryAfter = 5;

/** The contents of a file: bytes, or pieces that are produced while the file is written. */
export type FileContents = Uint8Array | AsyncIterable<Uint8Array>;

/**
 * Replaces the file at `path` by `contents`: written under a temporary name in the same directory, synced to disk,
 * renamed (atomic in POSIX), and the directory synced so that the rename survives a power cut. On failure the temporary file is
 * removed and the old file is untouched. Node only.
 *
 * The mode and owner of an existing file are kept; for a symbolic link the target is replaced. Device nodes, FIFOs and
 * `/dev/stdout` are written to.
 *
 * @throws FileError with one line that names the path and the reason.
 * @example
 * await writeFileAtomic("bytes.bin", Uint8Array.of(1, 2, 3));
 * const source = await openSource("bytes.bin");
 * source.size; // 3
 * await source.close();
 */
export async function writeFileAtomic(path: string, contents: FileContents): Promise<void> {
  check(op, "the path", path, aString);
  if (!isPieces(contents)) check(op, "the contents", contents, fileBytes);
  const pieces = isPieces(contents) ? contents : [contents];
  const { path: paths } = nodeFiles(op);
  let takesFiles = false;
  try {
    const target = await targetOf(path, op);
    if (target.kind === "descriptor") return await writeToDescriptor(target.descriptor, pieces);
    takesFiles = target.kind !== "file" || target.stat !== undefined;
    if (target.kind !== "file") return await writeToStream(target.path, pieces);
    await replace(target, pieces, () => {
      takesFiles = true;
    });
  } catch (error) {
    if (error instanceof ContentsError) throw error.cause;
    const place = takesFiles ? path : `${path} in directory ${paths.dirname(path)}`;
    throw new FileError(`cannot write ${place}: ${reasonOf(error)}`, { op, cause: error });
  }
}

/** The pieces could not be made: no error of the file. */
class ContentsError extends Error {}

type Pieces = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

function isPieces(contents: FileContents): contents is AsyncIterable<Uint8Array> {
  return (
    typeof (contents as Partial<AsyncIterable<Uint8Array>> | undefined)?.[Symbol.asyncIterator] === "function"
  );
}

/** Calls `write` for each piece. @throws ContentsError for what making a piece throws. */
async function writeAll(pieces: Pieces, write: (bytes: Uint8Array) => Promise<unknown>): Promise<void> {
  const iterator =
    Symbol.asyncIterator in pieces ? pieces[Symbol.asyncIterator]() : pieces[Symbol.iterator]();
  try {
    for (;;) {
      let next: IteratorResult<Uint8Array>;
      try {
        next = await iterator.next();
      } catch (cause) {
        throw new ContentsError("the contents", { cause });
      }
      if (next.done) return;
      await write(next.value);
    }
  } finally {
    await iterator.return?.();
  }
}

async function replace(
  { path, stat: old }: FileTarget,
  pieces: Pieces,
  onCreated: () => void,
): Promise<void> {
  const { fs, path: paths } = nodeFiles(op);
  const { access, chmod, chown, open, rename, rm } = fs.promises;
  // A file that may not be written is not replaced either, which its directory would allow.
  if (old !== undefined) await access(path, fs.constants.W_OK);
  const directory = paths.dirname(path);
  // The process id and a random part: two writers of one path never share a temporary file.
  const unique = `${process.pid}-${Math.random().toString(36).slice(2, 10)}`;
  const temporary = paths.join(directory, `.${paths.basename(path)}.${unique}.tmp`);
  const file = await open(temporary, "wx", old && old.mode & permissionBits);
  onCreated();
  try {
    try {
      if (old !== undefined) {
        // Only root may give files away; the owner comes first, because changing it clears bits of the mode.
        await chown(temporary, old.uid, old.gid).catch(() => {});
        await chmod(temporary, old.mode & permissionBits);
      }
      await writeAll(pieces, (bytes) => file.writeFile(bytes));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
  await syncDirectory(fs, directory);
}

/** Windows cannot open directories, and renames there need no flush of theirs. */
async function syncDirectory(fs: typeof import("node:fs"), directory: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await fs.promises.open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function writeToStream(path: string, pieces: Pieces): Promise<void> {
  const { fs } = nodeFiles(op);
  const file = await fs.promises.open(path, fs.constants.O_WRONLY);
  try {
    await writeAll(pieces, (bytes) => file.writeFile(bytes));
  } finally {
    await file.close();
  }
}

/** stdout and stderr through their streams, behind what these still hold. */
async function writeToDescriptor(descriptor: number, pieces: Pieces): Promise<void> {
  const stream = { 1: process.stdout, 2: process.stderr }[descriptor];
  if (stream === undefined) return writeAll(pieces, (bytes) => writePart(descriptor, bytes));
  return writeAll(
    pieces,
    (bytes) =>
      new Promise<void>((resolve, reject) => {
        stream.write(bytes, (error) => (error ? reject(error) : resolve()));
      }),
  );
}

async function writePart(descriptor: number, bytes: Uint8Array): Promise<void> {
  const { fs } = nodeFiles(op);
  for (let at = 0; at < bytes.length; ) {
    at += await new Promise<number>((resolve, reject) => {
      fs.write(descriptor, bytes, at, (error, written) => {
        if (error === null) resolve(written);
        else if (error.code === "EAGAIN") setTimeout(resolve, retryAfter, 0);
        else reject(error);
      });
    });
  }
}
