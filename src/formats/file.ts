/** Files in Node, reached without an import so that browser bundles carry nothing of it, and files behind URLs. */
import { type ErrorDetails, WattgradError } from "../core/errors.js";

/**
 * A file or URL that cannot be read or written; the message is one line with the path and the reason.
 *
 * @example
 * await openSource("missing.bin"); // throws FileError
 */
export class FileError extends WattgradError {
  /** The HTTP status, where that is the reason. */
  readonly status: number | undefined;

  constructor(message: string, details: ErrorDetails & { readonly status?: number } = {}) {
    super("FILE", message, details);
    this.status = details.status;
  }
}

/** @internal Types of Node are no part of the package's. */
export interface NodeFiles {
  readonly fs: typeof import("node:fs");
  readonly path: typeof import("node:path");
}

/**
 * @internal
 * @throws FileError outside Node (and what else has `process.getBuiltinModule`).
 */
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

/** What went wrong in words, with the system's code; `special` replaces the usual words of some codes. */
export function reasonOf(error: unknown, special: Readonly<Record<string, string>> = {}): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const words = special[code] ?? reasons[code] ?? (error instanceof Error ? error.message : String(error));
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

/** What an HTTP status other than success means. */
export function statusError(url: string, { status, headers }: Response, op: string): FileError {
  const delay = headers.get("retry-after");
  const hint = delay === null ? undefined : `the server asks to wait: Retry-After ${delay}`;
  return new FileError(`cannot fetch ${url}: HTTP status ${status}`, { op, status, hint });
}

/** Downloads a file. @throws FileError naming the URL and the reason. */
export async function fetchBytes(url: string, op: string): Promise<Uint8Array> {
  let response: Response;
  try {
    response = await fetch(url);
  } catch (error) {
    throw new FileError(`cannot fetch ${url}: ${reasonOf(error)}`, { op, cause: error });
  }
  if (!response.ok) throw statusError(url, response, op);
  return new Uint8Array(await response.arrayBuffer());
}

/** The names in a directory. @throws FileError naming the path and the reason. */
export async function namesIn(directory: string, op: string): Promise<Set<string>> {
  const { fs } = nodeFiles(op);
  try {
    return new Set(await fs.promises.readdir(directory));
  } catch (error) {
    throw new FileError(`cannot read directory ${directory}: ${reasonOf(error)}`, { op, cause: error });
  }
}

/** What ENOENT means when something is to be made in a directory that is there: /proc, for one, says so. */
export const refusesNewEntries = { ENOENT: "nothing can be created there" } as const;

/**
 * Makes a directory and those above it that are missing. Not `mkdir` with `recursive`, which in Node never returns
 * where the file system answers ENOENT for an entry of an existing directory, as /proc does.
 *
 * @throws FileError naming the path and the reason.
 */
export async function makeDirectory(path: string, op?: string): Promise<void> {
  const { fs, path: paths } = nodeFiles(op ?? "makeDirectory");
  const fail = (reason: string, cause?: unknown) => {
    throw new FileError(`cannot create directory ${path}: ${reason}`, { op, cause });
  };
  const missing: string[] = [];
  let directory = paths.resolve(path);
  for (;;) {
    const found = await fs.promises.stat(directory).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT" || directory === paths.dirname(directory)) fail(reasonOf(error), error);
    });
    if (found?.isDirectory()) break;
    if (found !== undefined) fail(`${directory} is not a directory`);
    missing.push(directory);
    directory = paths.dirname(directory);
  }
  for (const each of missing.reverse()) {
    await fs.promises.mkdir(each).catch((error: NodeJS.ErrnoException) => {
      // Another process may have made it in between.
      if (error.code !== "EEXIST") fail(reasonOf(error, refusesNewEntries), error);
    });
  }
}
