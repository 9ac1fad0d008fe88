/**
 * Downloaded files on disk. A file `name` is whole and verified; `name.partial` waits for the next download; while a process writes
 * it, it is `name.partial.<host>.<pid>.<random>`. Renames are atomic: a part has one owner, and what a killed process has left is
 * taken over by its name. Node only.
 */

import { writeFileAtomic } from "../formats/atomic.js";
import type { ByteSource } from "../formats/byte_source.js";
import { FileError, makeDirectory, nodeFiles, reasonOf } from "../formats/file.js";
import { openFile } from "../formats/file_source.js";
import { type FileCache, type PartialFile, storedName } from "./cache.js";
import { pause } from "./http.js";

const op = "hub";

/** Milliseconds between two looks at what another process downloads. */
const patience = 100;
/** Milliseconds without a new byte after which the owner of a part on another machine counts as gone; downloads give up before. */
const abandoned = 300_000;

const { platform } = globalThis.process ?? {};

/** @param directory is made when something is stored. */
export function nodeCache(directory: string): FileCache {
  const { path: paths } = nodeFiles(op);
  const placeOf = (key: string) => paths.join(directory, ...key.split("/").map(storedName));
  const find = async (key: string, size: number) => {
    const file = await existing(placeOf(key));
    return file?.size === size ? file : undefined;
  };
  return {
    find,
    async begin(key, size, signal) {
      const place = placeOf(key);
      await makeDirectory(paths.dirname(place), op);
      for (;;) {
        signal?.throwIfAborted();
        const file = await find(key, size);
        if (file !== undefined) return file;
        const part = await claim(place);
        // Another may have finished between the look and the claim.
        const finished = part && (await find(key, size));
        if (finished === undefined && part !== undefined) return part;
        await part?.release();
        await pause(patience * (0.5 + Math.random()), signal);
      }
    },
    async note(key) {
      const { fs } = nodeFiles(op);
      return fs.promises.readFile(placeOf(key), "utf8").catch(() => undefined);
    },
    async setNote(key, text) {
      await makeDirectory(paths.dirname(placeOf(key)), op);
      await writeFileAtomic(placeOf(key), new TextEncoder().encode(text));
    },
  };
}

/** The folder of the user's caches. */
export function defaultDirectory(): string {
  const { path: paths } = nodeFiles(op);
  const os = globalThis.process.getBuiltinModule("node:os");
  const base = process.env.XDG_CACHE_HOME || paths.join(os.homedir(), ".cache");
  return paths.join(base, "wattgrad");
}

async function existing(place: string): Promise<ByteSource | undefined> {
  const { fs } = nodeFiles(op);
  const found = await fs.promises.stat(place).catch(() => undefined);
  return found?.isFile() ? fileAt(place, found.size) : undefined;
}

/** Opened for each read: a source of models has no end at which it would be closed. */
function fileAt(place: string, size: number): ByteSource {
  return {
    name: place,
    size,
    async read(offset, length, signal, into) {
      const file = await openFile(place, op);
      try {
        return await file.read(offset, length, signal, into);
      } finally {
        await file.close();
      }
    },
    async close() {},
  };
}

/** The part of a file, if nobody else writes it. */
async function claim(place: string): Promise<PartialFile | undefined> {
  const { fs, path: paths } = nodeFiles(op);
  const os = globalThis.process.getBuiltinModule("node:os");
  const random = Math.random().toString(36).slice(2, 10);
  const host = storedName(os.hostname());
  const own = `${place}.partial.${host}.${process.pid}.${random}`;
  const parts = await claims(place);
  if ((await Promise.all(parts.map(isAlive))).some(Boolean)) return undefined;
  // What is left of a killed process, or of a download that was ended. Of two that rename it, one succeeds.
  const left = [...parts.map(({ path }) => path), `${place}.partial`];
  let taken = false;
  for (const path of left) {
    taken = await fs.promises.rename(path, own).then(
      () => true,
      () => false,
    );
    if (taken) break;
  }
  const handle = await fs.promises.open(own, taken ? "r+" : "wx+").catch((error: unknown) => {
    throw new FileError(`cannot write ${own}: ${reasonOf(error)}`, { op, cause: error });
  });
  // Two may have begun at once: both step back, and come again after different times.
  const others = (await claims(place)).filter(({ path }) => path !== own);
  if ((await Promise.all(others.map(isAlive))).some(Boolean)) {
    await handle.close();
    await release(own, place, (await fs.promises.stat(own)).size);
    return undefined;
  }
  let { size: length } = await handle.stat();
  const close = async () => {
    // It may be closed already, by a commit that failed.
    await handle.sync().catch(() => {});
    await handle.close().catch(() => {});
  };
  return {
    get length() {
      return length;
    },
    async read(offset, count) {
      const bytes = new Uint8Array(count);
      for (let done = 0; done < count; ) {
        const { bytesRead } = await handle.read(bytes, done, count - done, offset + done);
        if (bytesRead === 0) throw new FileError(`${own} has become shorter`, { op });
        done += bytesRead;
      }
      return bytes;
    },
    async append(bytes) {
      try {
        for (let done = 0; done < bytes.length; ) {
          const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, length);
          done += bytesWritten;
          length += bytesWritten;
        }
      } catch (error) {
        throw new FileError(`cannot write ${place}: ${reasonOf(error)}`, { op, cause: error });
      }
    },
    async restart() {
      await handle.truncate(0);
      length = 0;
    },
    async commit() {
      await handle.sync();
      await handle.close();
      await fs.promises.rename(own, place);
      if (platform !== "win32") {
        const folder = await fs.promises.open(paths.dirname(place), "r");
        await folder.sync().finally(() => folder.close());
      }
      return fileAt(place, length);
    },
    async release() {
      await close();
      await release(own, place, length);
    },
  };
}

/** What another may have put there meanwhile is replaced only by more. */
async function release(own: string, place: string, length: number): Promise<void> {
  const { fs } = nodeFiles(op);
  const path = `${place}.partial`;
  const there = await fs.promises.stat(path).catch(() => undefined);
  if (length === 0 || (there !== undefined && there.size > length))
    await fs.promises.rm(own, { force: true });
  else await fs.promises.rename(own, path).catch(() => {});
}

interface Claim {
  readonly path: string;
  readonly host: string;
  readonly pid: number;
}

/** The parts of a file that processes have taken. */
async function claims(place: string): Promise<Claim[]> {
  const { fs, path: paths } = nodeFiles(op);
  const prefix = `${paths.basename(place)}.partial.`;
  const names = await fs.promises.readdir(paths.dirname(place));
  return names.flatMap((name) => {
    const [, host, pid] =
      /^(.*)\.(\d+)\.\w+$/.exec(name.startsWith(prefix) ? name.slice(prefix.length) : "") ?? [];
    return host === undefined
      ? []
      : [{ path: paths.join(paths.dirname(place), name), host, pid: Number(pid) }];
  });
}

async function isAlive({ path, host, pid }: Claim): Promise<boolean> {
  const { fs } = nodeFiles(op);
  const os = globalThis.process.getBuiltinModule("node:os");
  const found = await fs.promises.stat(path).catch(() => undefined);
  if (found === undefined || Date.now() - found.mtimeMs > abandoned) return false;
  if (host !== storedName(os.hostname())) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // The process is there, and another user's.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
