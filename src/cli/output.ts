/** Files that commands write: checked before hours of work, replaced atomically after them. */
import { randomBytes } from "node:crypto";
import { mkdir, open, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { FileError, reasonOf } from "../formats/file.js";
import { writeFileAtomic } from "../formats/index.js";

/** `--json -` writes to stdout. */
export const standardOutput = "-";

/** Makes the directory if needed and proves that a file can be written there. @throws FileError */
export async function requireWritableDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true });
    const probe = join(directory, `.wattgrad-${randomBytes(6).toString("hex")}.tmp`);
    await (await open(probe, "wx")).close();
    await rm(probe);
  } catch (error) {
    throw new FileError(`cannot write to ${directory}: ${reasonOf(error)}`, { cause: error });
  }
}

/** The same for the directory of a file, which must not be a directory itself. @throws FileError */
export async function requireWritableFile(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) throw new FileError(`cannot write ${path}: it is a directory`);
  await requireWritableDirectory(dirname(path));
}

/** Writes a report as JSON to a file, or to stdout for `-`. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  const text = `${JSON.stringify(value, undefined, 2)}\n`;
  if (path === standardOutput) process.stdout.write(text);
  else await writeFileAtomic(path, new TextEncoder().encode(text));
}
