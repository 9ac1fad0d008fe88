/** Writing a file so that a crash at any moment leaves either the old one or the new one, whole. Node only. */
import { FileError, nodeFiles, reasonOf } from "./file.js";

/**
 * Replaces `path` by `bytes`: written under a temporary name in the same directory, flushed to the disk, renamed
 * (which POSIX makes atomic), and the directory flushed so that the rename itself survives a power cut. On failure
 * the temporary file is removed and the old file is untouched.
 *
 * @throws FileError with one line that names the path and the reason.
 * @example
 * await writeFileAtomic("runs/model.safetensors", writeSafetensors(tensors));
 */
export async function writeFileAtomic(path: string, bytes: Uint8Array): Promise<void> {
  const op = "writeFileAtomic";
  const { fs, path: paths } = nodeFiles(op);
  const directory = paths.dirname(path);
  // The process id and a random part: two writers of one path never share a temporary file.
  const unique = `${process.pid}-${Math.random().toString(36).slice(2, 10)}`;
  const temporary = paths.join(directory, `.${paths.basename(path)}.${unique}.tmp`);
  let created = false;
  try {
    const file = await fs.promises.open(temporary, "wx");
    created = true;
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await fs.promises.rename(temporary, path);
    created = false;
    await syncDirectory(fs, directory);
  } catch (error) {
    if (created) await fs.promises.rm(temporary, { force: true }).catch(() => {});
    const place = created ? path : `${path} in directory ${directory}`;
    throw new FileError(`cannot write ${place}: ${reasonOf(error)}`, { op, cause: error });
  }
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
