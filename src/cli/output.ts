/** Files that commands write: checked before hours of work, replaced atomically after them. */
import { randomBytes } from "node:crypto";
import { access, constants, lstat, open, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { FileError, makeDirectory, reasonOf, refusesNewEntries } from "../formats/file.js";
import { writeFileAtomic } from "../formats/index.js";
import { targetOf } from "../formats/target.js";
import { UsageError } from "./exit.js";

/** `--json -` writes to stdout. */
export const standardOutput = "-";

/**
 * Proves that a file can be written in the directory, or in the nearest one above it that exists: what is missing is made
 * when something is written.
 *
 * @throws FileError
 */
export async function requireWritableDirectory(directory: string): Promise<void> {
  const existing = await nearestDirectory(directory);
  const probe = join(existing, `.wattgrad-${randomBytes(6).toString("hex")}.tmp`);
  try {
    await (await open(probe, "wx")).close();
    await rm(probe);
  } catch (error) {
    const reason = reasonOf(error, refusesNewEntries);
    throw new FileError(`cannot write to directory ${directory}: ${reason}`, { cause: error });
  }
}

async function nearestDirectory(directory: string): Promise<string> {
  for (let path = resolve(directory); ; path = dirname(path)) {
    try {
      if ((await stat(path)).isDirectory()) return path;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT" && path !== dirname(path)) continue;
      throw new FileError(`cannot create directory ${directory}: ${reasonOf(error)}`, { cause: error });
    }
    throw new FileError(`cannot create directory ${directory}: ${path} is not a directory`);
  }
}

/** The same for a file; an existing one must be writable and not a directory. @throws FileError */
export async function requireWritableFile(path: string): Promise<void> {
  try {
    const found = await lstat(path).catch(() => undefined);
    if (found === undefined) return await requireWritableDirectory(dirname(path));
    const target = await targetOf(path, "");
    if (target.kind === "directory") throw new FileError(`cannot write ${path}: it is a directory`);
    if (target.kind === "descriptor") return;
    const exists = target.kind === "stream" || target.stat !== undefined;
    if (target.kind === "file") await requireWritableDirectory(dirname(target.path));
    if (exists) await access(target.path, constants.W_OK);
  } catch (error) {
    if (error instanceof FileError) throw error;
    throw new FileError(`cannot write ${path}: ${reasonOf(error)}`, { cause: error });
  }
}

/** Whether the file is, or will be, a plain one that can be read back and has a place beside it. */
export async function isPlainFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? true;
}

/** Whether two paths name the same file, through any links. */
export async function isSameFile(a: string, b: string): Promise<boolean> {
  const [first, second] = await Promise.all([a, b].map((path) => stat(path).catch(() => undefined)));
  if (first !== undefined && second !== undefined) {
    return first.isFile() && first.dev === second.dev && first.ino === second.ino;
  }
  const realPath = (path: string) =>
    targetOf(path, "").then(
      (target) => target.path,
      () => resolve(path),
    );
  return (await realPath(a)) === (await realPath(b));
}

/**
 * Checks where `--json` goes, if it was given: a file that can be written and is none of the command's other files.
 *
 * @throws UsageError, FileError
 */
export async function requireJsonTarget(
  json: string | undefined,
  ...others: readonly (readonly [path: string | undefined, what: string])[]
): Promise<void> {
  if (json === undefined || json === standardOutput) return;
  for (const [path, what] of others) {
    if (path !== undefined && (await isSameFile(json, path))) {
      throw new UsageError(`--json ${json} would overwrite ${what}`);
    }
  }
  await requireWritableFile(json);
}

/** Writes a file, and the directories above it that are missing. @throws FileError */
export async function writeOutput(path: string, content: Uint8Array | string): Promise<void> {
  await makeDirectory(dirname(path));
  await writeFileAtomic(path, typeof content === "string" ? new TextEncoder().encode(content) : content);
}

/** The same JSON with control characters in strings escaped, as by `printable`. */
function escapeControls(json: string): string {
  return json.replace(/[^\P{C}\n]|[\u2028\u2029]/gu, (character) =>
    Array.from(
      { length: character.length },
      (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`,
    ).join(""),
  );
}

/** Writes a report as JSON to a file, or to stdout for `-`. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  const text = `${JSON.stringify(value, undefined, 2)}\n`;
  if (path === standardOutput) process.stdout.write(escapeControls(text));
  else await writeOutput(path, text);
}
