/** Files that commands write: checked before hours of work, replaced atomically after them. */
import { randomBytes } from "node:crypto";
import { open, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { FileError, makeDirectory, reasonOf, refusesNewEntries } from "../formats/file.js";
import { writeFileAtomic } from "../formats/index.js";
import { UsageError } from "./exit.js";

/** `--json -` writes to stdout. */
export const standardOutput = "-";

/** Makes the directory if needed and proves that a file can be written there. @throws FileError */
export async function requireWritableDirectory(directory: string): Promise<void> {
  await makeDirectory(directory);
  const probe = join(directory, `.wattgrad-${randomBytes(6).toString("hex")}.tmp`);
  try {
    await (await open(probe, "wx")).close();
    await rm(probe);
  } catch (error) {
    const reason = reasonOf(error, refusesNewEntries);
    throw new FileError(`cannot write to directory ${directory}: ${reason}`, { cause: error });
  }
}

/** The same for the directory of a file, which must not be a directory itself. @throws FileError */
export async function requireWritableFile(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) throw new FileError(`cannot write ${path}: it is a directory`);
  await requireWritableDirectory(dirname(path));
}

/**
 * Checks where `--json` goes, if it was given: a file that can be written and is not the command's other file.
 *
 * @throws UsageError, FileError
 */
export async function requireJsonTarget(
  json: string | undefined,
  other?: string,
  what = "the model file",
): Promise<void> {
  if (json === undefined || json === standardOutput) return;
  if (other !== undefined && resolve(json) === resolve(other)) {
    throw new UsageError(`--json ${json} would overwrite ${what}`);
  }
  await requireWritableFile(json);
}

/** Writes a report as JSON to a file, or to stdout for `-`. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  const text = `${JSON.stringify(value, undefined, 2)}\n`;
  if (path === standardOutput) process.stdout.write(text);
  else await writeFileAtomic(path, new TextEncoder().encode(text));
}
