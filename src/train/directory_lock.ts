/**
 * A checkpoint directory belongs to one training at a time: a file in it names the process. A process that has ended,
 * however, leaves the directory free: on the same machine its number and start time tell, on another one the file's
 * time, which the owner renews. Node only.
 */
import { FileError, makeDirectory, nodeFiles, reasonOf } from "../formats/file.js";

const op = "checkpoint";
const lockName = ".lock";
/** Milliseconds between two renewals, and after which a lock that was not renewed is abandoned. */
const [renewEvery, abandonedAfter] = [5000, 60_000];
/** Milliseconds until another process' look at an abandoned lock has ended. */
const guardRetry = 20;
/** Milliseconds between two looks at a lock whose owner cannot be asked. */
const lookEvery = 500;

/** What the file says about its owner. */
interface Owner {
  readonly pid: number;
  readonly host: string;
  /** When the process started, by a clock of the system: a number that another process has now is told apart. */
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

/** Of a process that has ended but still has its number (a zombie), because nobody has asked for its exit code. */
const ended = "ended";

/** The boot and the moment in it, from Linux' /proc; null where there is none. */
function startOf(pid: number): string | null {
  const { fs } = nodeFiles(op);
  try {
    const boot = fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    // Behind the name, which may hold spaces and parentheses, the 20th field.
    const fields = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(")").at(-1)!.trim().split(" ");
    return /[ZX]/.test(fields[0]) ? ended : `${boot} ${fields[19]}`;
  } catch {
    return null;
  }
}

/** Whether the owner renews the lock; waits until that is certain. */
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
 * Removes the lock, if it is still the one that was `found`. One process at a time: between the look and the removal another
 * one might have removed it and made its own.
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
