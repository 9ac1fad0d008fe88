/** Writing a file so that a crash at any moment leaves either the old one or the new one, whole. Node only. */
import { aString, check, fileBytes } from "../core/check.js";
import { FileError, nodeFiles, reasonOf } from "./file.js";
import { type FileTarget, targetOf } from "./target.js";

const op = "writeFileAtomic";
const permissionBits = 0o7777;
/** Milliseconds until a descriptor that takes nothing at the moment (EAGAIN) is tried again. */
const retryAfter = 5;

/**
 * Replaces the file at `path` by `bytes`: written under a temporary name in the same directory, flushed to the disk,
 * renamed (which POSIX makes atomic), and the directory flushed so that the rename itself survives a power cut. On
 * failure the temporary file is removed and the old file is untouched.
 *
 * Mode and owner of an old file stay; of a symbolic link the target is replaced, not the link. Device nodes, FIFOs and
 * `/dev/stdout` are written to.
 *
 * @throws FileError with one line that names the path and the reason.
 * @example
 * await writeFileAtomic("runs/model.safetensors", writeSafetensors(tensors));
 */
export async function writeFileAtomic(path: string, bytes: Uint8Array): Promise<void> {
  check(op, "the path", path, aString);
  check(op, "the contents", bytes, fileBytes);
  const { path: paths } = nodeFiles(op);
  let takesFiles = false;
  try {
    const target = await targetOf(path, op);
    if (target.kind === "descriptor") return await writeToDescriptor(target.descriptor, bytes);
    takesFiles = target.kind !== "file" || target.stat !== undefined;
    if (target.kind !== "file") return await writeToStream(target.path, bytes);
    await replace(target, bytes, () => {
      takesFiles = true;
    });
  } catch (error) {
    const place = takesFiles ? path : `${path} in directory ${paths.dirname(path)}`;
    throw new FileError(`cannot write ${place}: ${reasonOf(error)}`, { op, cause: error });
  }
}

async function replace(
  { path, stat: old }: FileTarget,
  bytes: Uint8Array,
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
      await file.writeFile(bytes);
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

async function writeToStream(path: string, bytes: Uint8Array): Promise<void> {
  const { fs } = nodeFiles(op);
  const file = await fs.promises.open(path, fs.constants.O_WRONLY);
  try {
    await file.writeFile(bytes);
  } finally {
    await file.close();
  }
}

/** stdout and stderr through their streams, behind what these still hold. */
async function writeToDescriptor(descriptor: number, bytes: Uint8Array): Promise<void> {
  const stream = { 1: process.stdout, 2: process.stderr }[descriptor];
  if (stream !== undefined) {
    return new Promise((resolve, reject) => {
      stream.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }
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
