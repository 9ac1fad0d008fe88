/** Files in Node, reached without an import so that browser bundles carry nothing of it. */
import { type ErrorDetails, WattgradError } from "../tensor/errors.js";

/** A file or URL that cannot be read or written; the message is one line with the path and the reason. */
export class FileError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("FILE", message, details);
  }
}

export interface NodeFiles {
  readonly fs: typeof import("node:fs");
  readonly path: typeof import("node:path");
}

/** @throws FileError outside Node (and what else has `process.getBuiltinModule`). */
export function nodeFiles(op: string): NodeFiles {
  const load = globalThis.process?.getBuiltinModule;
  if (load === undefined)
    throw new FileError("there is no file system here", { op, hint: "give URLs or bytes" });
  return { fs: load("node:fs"), path: load("node:path") };
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "it does not exist",
  EACCES: "permission denied",
  EPERM: "not permitted",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
  ENOTDIR: "a part of the path is not a directory",
  EISDIR: "it is a directory",
  ENAMETOOLONG: "the name is too long",
};

/** What went wrong in words, with the system's code. */
export function reasonOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const words = reasons[code] ?? (error instanceof Error ? error.message : String(error));
  return code === "" ? words : `${words}, ${code}`;
}

/** @throws FileError naming the path and the reason. */
export async function readFile(path: string, op: string): Promise<Uint8Array> {
  const { fs } = nodeFiles(op);
  try {
    return await fs.promises.readFile(path);
  } catch (error) {
    throw new FileError(`cannot read ${path}: ${reasonOf(error)}`, { op, cause: error });
  }
}
