/**
 * Locks a checkpoint directory for one training: a file in it names the owner process. The lock of a process that has ended is abandoned.
 * On the same machine this is detected by process id and start time, on another machine by the file's modification time, which the owner
 * renews. Node only.
 */
import { FileError, makeDirectory, nodeFiles, reasonOf } from "../formats/file.js";

const op = "checkpoint";
const lockName = ".lock";
/** Renewal interval in ms, and the time in ms without a renewal after which a lock is abandoned. */
const [renewEvery, abandonedAfter] = [5000, 60_000];
/** Retry interval in ms while another process removes an abandoned lock. */
const guardRetry = 20;
/** Interval in ms between two reads of a lock whose owner runs on another machine. */
const lookEvery = 500;

/** The contents of the lock file. */
interface Owner {
  readonly pid: number;
  readonly host: string;
  /** Start time of the process, which distinguishes it from a later process with the same id. */
  readonly started: string | null;
  readonly token: string;
}

export interface DirectoryLock {
  release(): Promise<void>;
}

/** @throws FileError if another training has the directory, naming the process; or if nothing can be written there. */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  await makeDirectory(directory, op);
  const { fs, path: paths } = nodeFiles(op);
  const { readFile, rm, utimes, writeFile } = fs.promises;
  const path = paths.join(directory, lockName);
  const own: Owner = {
    pid: process.pid,
    host: hostName(),
    started: startOf(process.pid),
    token: globalThis.crypto.randomUUID(),
  };
  const text = JSON.stringify(own);
  for (;;) {
    try {
      await writeFile(path, text, { flag: "wx" });
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") {
        throw new FileError(`cannot write to directory ${directory}: ${reasonOf(error)}`, {
          op,
          cause: error,
        });
      }
    }
    const found = await readFile(path, "utf8").catch(() => undefined);
    if (found === undefined) continue;
    const owner = parse(found);
    if (await isInUse(path, owner)) {
      const who = owner === undefined ? "another process" : `process ${owner.pid} on ${owner.host}`;
      throw new FileError(`${directory} is in use by ${who}`, {
        op,
        hint: "one directory for each training; wait for it to end, or choose another",
      });
    }
    await removeAbandoned(path, found);
  }
  const isOwn = async () => (await readFile(path, "utf8").catch(() => "")) === text;
  const timer = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {});
  }, renewEvery);
  timer.unref();
  return {
    async release() {
      clearInterval(timer);
      if (await isOwn()) await rm(path, { force: true }).catch(() => {});
    },
  };
}

function hostName(): string {
  return globalThis.process.getBuiltinModule("node:os").hostname();
}

/** Undefined for a file whose writing was interrupted, or of another program. */
function parse(text: string): Owner | undefined {
  try {
    const { pid, host, started } = JSON.parse(text);
    if (Number.isSafeInteger(pid) && pid > 0 && typeof host === "string") {
      return { pid, host, started: typeof started === "string" ? started : null, token: "" };
    }
  } catch {}
  return undefined;
}

async function isInUse(path: string, owner: Owner | undefined): Promise<boolean> {
  if (owner !== undefined && owner.host === hostName()) {
    if (!isAlive(owner.pid)) return false;
    const started = startOf(owner.pid);
    if (started === ended) return false;
    // Not this process itself: its threads have the number in common, and end without it.
    const isKnown = started !== null && owner.started !== null;
    if (isKnown && started !== owner.started) return false;
    if (isKnown && owner.pid !== process.pid) return true;
  }
  return isRenewed(path);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Start time of a zombie: a process that has ended, but whose exit code was not read yet. */
const ended = "ended";

/** Boot id and start time since boot, from /proc on Linux; null on other systems. */
function startOf(pid: number): string | null {
  const { fs } = nodeFiles(op);
  try {
    const boot = fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    // The 20th field after the name, which may contain spaces and parentheses.
    const fields = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(")").at(-1)!.trim().split(" ");
    return /[ZX]/.test(fields[0]) ? ended : `${boot} ${fields[19]}`;
  } catch {
    return null;
  }
}

/** Waits until the owner renews the lock (true) or the lock is abandoned or removed (false). */
async function isRenewed(path: string): Promise<boolean> {
  const { fs } = nodeFiles(op);
  const timeOf = async () => (await fs.promises.stat(path).catch(() => undefined))?.mtimeMs;
  const first = await timeOf();
  if (first === undefined) return false;
  while (Date.now() - first < abandonedAfter) {
    await new Promise((resolve) => setTimeout(resolve, lookEvery));
    const now = await timeOf();
    if (now !== first) return now !== undefined;
  }
  return false;
}

/**
 * Removes the lock if its contents are still `found`. A guard file serializes this: otherwise another process could replace the lock
 * between the comparison and the removal.
 */
async function removeAbandoned(path: string, found: string): Promise<void> {
  const { readFile, rm, stat, writeFile } = nodeFiles(op).fs.promises;
  const guard = `${path}.guard`;
  try {
    await writeFile(guard, "", { flag: "wx" });
  } catch {
    // Held for a moment, unless its process was killed in it.
    const made = await stat(guard).catch(() => undefined);
    if (made !== undefined && Date.now() - made.mtimeMs > renewEvery) await rm(guard, { force: true });
    await new Promise((resolve) => setTimeout(resolve, guardRetry));
    return;
  }
  try {
    if ((await readFile(path, "utf8").catch(() => undefined)) === found) await rm(path, { force: true });
  } finally {
    await rm(guard, { force: true });
  }
}
