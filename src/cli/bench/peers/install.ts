/**
 * Puts the other libraries of `wattgrad bench --peers` into a folder of their own in the user's cache, once for each set of
 * versions: they are no part of wattgrad, and no project's dependencies.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { type PeerName, type PeerVersions, peerPackages } from "../../../bench/peers/libraries.js";
import { FileError, makeDirectory, reasonOf } from "../../../formats/file.js";

/** Exact versions: figures of different days are of the same libraries. */
const pins: PeerVersions = { tfjs: "4.22.0", "onnxruntime-web": "1.30.0", "jax-js": "0.1.25" };

/** Names an existing folder with node_modules, to be used as it is. */
export const peersVariable = "WATTGRAD_PEERS";

/** Thrown if the libraries are not installed and could not be downloaded; the message says what to do. */
export class PeersNotInstalledError extends Error {}

export interface InstalledPeers {
  /** With node_modules. */
  readonly directory: string;
  readonly versions: PeerVersions;
}

/** The other libraries of a run. */
export interface ChosenPeers {
  readonly installed: InstalledPeers;
  readonly threads: number;
}

export interface InstallOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly platform?: NodeJS.Platform;
  /** Gets a line now and then while something is fetched. */
  readonly onProgress?: (line: string) => void;
}

/**
 * The folder that `WATTGRAD_PEERS` names; the one in the cache; or a new one in the cache, filled by npm.
 *
 * @throws PeersNotInstalledError, FileError if the cache cannot be written.
 */
export async function installPeers(options: InstallOptions = {}): Promise<InstalledPeers> {
  const { env = process.env, platform = process.platform, onProgress = () => {} } = options;
  const named = env[peersVariable];
  if (named) {
    // From here on it is imported from, which takes whole paths.
    const directory = resolve(named);
    return { directory, versions: await versionsIn(directory, `${peersVariable} names ${named}`) };
  }
  const cache = cacheDirectory(env, platform);
  const directory = join(cache, `peers-${fingerprint()}`);
  if (!(await isDirectory(directory))) await fill(directory, cache, env, platform, onProgress);
  return { directory, versions: await versionsIn(directory, `${directory} is damaged, remove it`) };
}

/** The user's cache directory of the platform. */
function cacheDirectory(env: NonNullable<InstallOptions["env"]>, platform: NodeJS.Platform): string {
  if (platform === "win32") {
    return join(env.LOCALAPPDATA ?? join(homedir(), "AppData", "Local"), "wattgrad", "Cache");
  }
  const usual = platform === "darwin" ? join(homedir(), "Library", "Caches") : join(homedir(), ".cache");
  return join(env.XDG_CACHE_HOME || usual, "wattgrad");
}

function dependencies(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(peerPackages).flatMap(([peer, packages]) =>
      packages.map((name) => [name, pins[peer as PeerName]]),
    ),
  );
}

function fingerprint(): string {
  return createHash("sha256").update(JSON.stringify(dependencies())).digest("hex").slice(0, 12);
}

/** Installs into a temporary folder and renames it at the end, so that an interrupted installation is never used. */
async function fill(
  directory: string,
  cache: string,
  env: NonNullable<InstallOptions["env"]>,
  platform: NodeJS.Platform,
  onProgress: (line: string) => void,
): Promise<void> {
  await makeDirectory(cache);
  await removeAbandoned(cache);
  const unfinished = join(cache, `${unfinishedPrefix}${randomBytes(6).toString("hex")}`);
  const manifest = { name: "wattgrad-peers", private: true, dependencies: dependencies() };
  try {
    await mkdir(unfinished);
    await writeFile(join(unfinished, "package.json"), JSON.stringify(manifest, undefined, 2));
    onProgress(
      `installing ${Object.entries(pins)
        .map(([peer, version]) => `${peer} ${version}`)
        .join(", ")}`,
    );
    onProgress(`into ${directory}, once: npm fetches about 100 MB, which take 450 MB there`);
    await runNpm(unfinished, env, platform, onProgress);
    await versionsIn(unfinished, "npm ended without an error");
    await moveInto(directory, unfinished);
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}

const unfinishedPrefix = "peers-unfinished-";
/** Milliseconds after which an install that is not finished was interrupted. */
const abandonedAfter = 3_600_000;

async function removeAbandoned(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    if (!name.startsWith(unfinishedPrefix)) continue;
    const path = join(cache, name);
    const { mtimeMs = Date.now() } = (await stat(path).catch(() => undefined)) ?? {};
    if (Date.now() - mtimeMs > abandonedAfter) await rm(path, { recursive: true, force: true });
  }
}

async function moveInto(directory: string, unfinished: string): Promise<void> {
  try {
    await rename(unfinished, directory);
  } catch (error) {
    // Another run was faster: its folder is the same.
    if (await isDirectory(directory)) return;
    throw new FileError(`cannot move ${unfinished} to ${directory}: ${reasonOf(error)}`, { cause: error });
  }
}

/** Milliseconds between two lines that say that npm still works. */
const lineEvery = 15_000;

function runNpm(
  cwd: string,
  env: NonNullable<InstallOptions["env"]>,
  platform: NodeJS.Platform,
  onProgress: (line: string) => void,
): Promise<void> {
  const flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"];
  const isWindows = platform === "win32";
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const fail = (reason: string, cause?: unknown) =>
      reject(new PeersNotInstalledError(`--peers: ${reason}; ${wayOut}`, { cause }));
    // Windows' npm is a script of its shell.
    const child: ChildProcess = spawn(isWindows ? "npm.cmd" : "npm", ["install", ...flags], {
      cwd,
      env,
      shell: isWindows,
      stdio: ["ignore", "ignore", "pipe"],
    });
    const timer = setInterval(
      () => onProgress(`npm has worked for ${Math.round((performance.now() - started) / 1000)} s`),
      lineEvery,
    );
    let said = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    child.on("error", (error) => {
      clearInterval(timer);
      fail(`npm cannot be started (${reasonOf(error)})`, error);
    });
    child.on("close", (code, signal) => {
      clearInterval(timer);
      if (code === 0) resolve();
      else
        fail(
          `npm could not install the libraries (${complaintOf(said) ?? `it ended with ${signal ?? code}`})`,
        );
    });
  });
}

const wayOut = `connect to the network, or set ${peersVariable} to a folder whose node_modules has ${Object.entries(
  dependencies(),
)
  .map(([name, version]) => `${name}@${version}`)
  .join(", ")}`;

/** The first line that says something: of npm's errors, the code and its reason. */
function complaintOf(text: string): string | undefined {
  const lines = text
    .split("\n")
    .map((line) => line.replace(/^npm (error|ERR!) ?/, "").trim())
    .filter((line) => line !== "");
  return lines.length === 0 ? undefined : lines.slice(0, 2).join(", ");
}

/** Name and version of each package. @throws PeersNotInstalledError if one is missing. */
async function versionsIn(directory: string, otherwise: string): Promise<PeerVersions> {
  const found: Partial<Record<PeerName, string>> = {};
  for (const [peer, packages] of Object.entries(peerPackages)) {
    for (const name of [...packages].reverse()) {
      const path = join(directory, "node_modules", ...name.split("/"), "package.json");
      try {
        found[peer as PeerName] = String(JSON.parse(await readFile(path, "utf8")).version);
      } catch (error) {
        throw new PeersNotInstalledError(
          `--peers: ${otherwise}, but its node_modules has no ${name} (${reasonOf(error)})`,
          { cause: error },
        );
      }
    }
  }
  return found as PeerVersions;
}

async function isDirectory(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}
