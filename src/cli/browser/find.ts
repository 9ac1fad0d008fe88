/**
 * Finds a browser on this machine, or fetches one: for tests, benchmarks and the playground. `npm ci` brings none
 * (.puppeteerrc.cjs), so that an install never fails for want of a download.
 */
import { execFile } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";

export interface FoundBrowser {
  readonly executablePath: string;
  /** Description of where it was found. */
  readonly origin: string;
}

/** Thrown if no browser is installed and none could be downloaded; the message says what to do. */
export class BrowserNotFoundError extends Error {}

export interface FindOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly platform?: NodeJS.Platform;
  /** Whether a browser may be downloaded. Default true. */
  readonly download?: boolean;
}

/** The newest that runs on Node 20. */
const packagedChromium = "@sparticuz/chromium@147.0.0";

/** Timeout in ms for the server that names the current build. */
const lookupTimeout = 20_000;

/**
 * A browser of the Chromium family: `CHROME_PATH` or `PUPPETEER_EXECUTABLE_PATH`; puppeteer's cache; an installed
 * Chrome, Chromium or Edge; a download into that cache; on x64 Linux the one that an npm package carries.
 *
 * @throws BrowserNotFoundError
 * @example
 * const { executablePath, origin } = await findChromium();
 */
export async function findChromium(options: FindOptions = {}): Promise<FoundBrowser> {
  const { env = process.env, platform = process.platform, download = true } = options;
  const found =
    named(env, ["CHROME_PATH", "PUPPETEER_EXECUTABLE_PATH"]) ??
    (await cached(env, ["chrome-headless-shell", "chrome"])) ??
    installed(chromiumPaths(platform, env));
  if (found !== undefined) return found;
  const failures: string[] = [];
  for (const fetchOne of download ? [downloaded, packaged] : []) {
    try {
      return await fetchOne(env);
    } catch (error) {
      failures.push((error instanceof Error ? error.message : String(error)).split("\n")[0]);
    }
  }
  const tried = failures.length > 0 ? ` and none could be fetched (${failures.join("; ")})` : "";
  throw new BrowserNotFoundError(
    `no Chrome, Chromium or Edge is installed${tried}: install one (on Debian and Ubuntu \`apt-get install chromium\`) or set CHROME_PATH to its executable`,
  );
}

/**
 * Firefox: `FIREFOX_PATH`, puppeteer's cache, or an installed one. It is not downloaded.
 * @throws BrowserNotFoundError
 */
export async function findFirefox(options: Omit<FindOptions, "download"> = {}): Promise<FoundBrowser> {
  const { env = process.env, platform = process.platform } = options;
  const found =
    named(env, ["FIREFOX_PATH"]) ??
    (await cached(env, ["firefox"])) ??
    installed(firefoxPaths(platform, env));
  if (found !== undefined) return found;
  throw new BrowserNotFoundError(
    "Firefox is not installed: install it (on Debian `apt-get install firefox-esr`) or set FIREFOX_PATH to its executable",
  );
}

type Environment = Readonly<Record<string, string | undefined>>;

function named(env: Environment, variables: readonly string[]): FoundBrowser | undefined {
  for (const variable of variables) {
    const executablePath = env[variable];
    if (!executablePath) continue;
    if (isFile(executablePath)) return { executablePath, origin: variable };
    throw new BrowserNotFoundError(`${variable} names ${executablePath}, and there is no such file`);
  }
  return undefined;
}

function puppeteerCache(env: Environment): string {
  return env.PUPPETEER_CACHE_DIR ?? join(homedir(), ".cache", "puppeteer");
}

async function cached(env: Environment, wanted: readonly string[]): Promise<FoundBrowser | undefined> {
  const cacheDir = puppeteerCache(env);
  if (!existsSync(cacheDir)) return undefined;
  const { getInstalledBrowsers } = await import("@puppeteer/browsers");
  const browsers = (await getInstalledBrowsers({ cacheDir })).filter(
    ({ browser, executablePath }) => wanted.includes(browser) && isFile(executablePath),
  );
  const newest = browsers.sort((a, b) => b.buildId.localeCompare(a.buildId, "en", { numeric: true }))[0];
  return newest && { executablePath: newest.executablePath, origin: "puppeteer's cache" };
}

function installed(paths: readonly string[]): FoundBrowser | undefined {
  const executablePath = paths.find(isFile);
  return executablePath === undefined ? undefined : { executablePath, origin: "installed" };
}

async function downloaded(env: Environment): Promise<FoundBrowser> {
  const { Browser, detectBrowserPlatform, install, resolveBuildId } = await import("@puppeteer/browsers");
  const platform = detectBrowserPlatform();
  if (platform === undefined) throw new Error("there is no Chrome for this platform");
  const browser = Browser.CHROMEHEADLESSSHELL;
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("Chrome's downloads do not answer")), lookupTimeout);
  });
  const buildId = await Promise.race([resolveBuildId(browser, platform, "stable"), timeout]).finally(() =>
    clearTimeout(timer),
  );
  const { executablePath } = await install({ browser, buildId, platform, cacheDir: puppeteerCache(env) });
  return { executablePath, origin: "downloaded" };
}

/** Installs a Chromium from the npm registry, for networks that block Chrome's download server. */
async function packaged(env: Environment): Promise<FoundBrowser> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new Error(`${packagedChromium} is for x64 Linux`);
  }
  const directory = join(env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "wattgrad", "chromium");
  if (!existsSync(join(directory, "node_modules", "@sparticuz", "chromium"))) {
    const flags = ["--no-save", "--ignore-scripts", "--prefix", directory];
    await promisify(execFile)("npm", ["install", ...flags, packagedChromium]);
  }
  const entry = createRequire(join(directory, "package.json")).resolve("@sparticuz/chromium");
  const { default: chromium } = await import(pathToFileURL(entry).href);
  return { executablePath: await chromium.executablePath(), origin: packagedChromium };
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

function onPath(env: Environment, names: readonly string[]): string[] {
  const directories = (env.PATH ?? "").split(delimiter).filter((directory) => directory !== "");
  return names.flatMap((name) => directories.map((directory) => join(directory, name)));
}

function programFiles(env: Environment, paths: readonly string[]): string[] {
  const bases = [env.PROGRAMFILES, env["PROGRAMFILES(X86)"], env.LOCALAPPDATA];
  return paths.flatMap((path) => bases.flatMap((base) => (base ? [join(base, ...path.split("/"))] : [])));
}

function applications(env: Environment, paths: readonly string[]): string[] {
  const bases = ["/Applications", ...(env.HOME ? [join(env.HOME, "Applications")] : [])];
  return paths.flatMap((path) => bases.map((base) => join(base, path)));
}

function chromiumPaths(platform: NodeJS.Platform, env: Environment): string[] {
  if (platform === "win32") {
    return programFiles(env, [
      "Google/Chrome/Application/chrome.exe",
      "Chromium/Application/chrome.exe",
      "Microsoft/Edge/Application/msedge.exe",
    ]);
  }
  if (platform === "darwin") {
    return applications(env, [
      "Google Chrome.app/Contents/MacOS/Google Chrome",
      "Chromium.app/Contents/MacOS/Chromium",
      "Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    ]);
  }
  const names = ["google-chrome-stable", "google-chrome", "chromium", "chromium-browser"];
  const others = ["chromium-headless-shell", "microsoft-edge-stable", "microsoft-edge"];
  return onPath(env, [...names, ...others]);
}

function firefoxPaths(platform: NodeJS.Platform, env: Environment): string[] {
  if (platform === "win32") return programFiles(env, ["Mozilla Firefox/firefox.exe"]);
  if (platform === "darwin") return applications(env, ["Firefox.app/Contents/MacOS/firefox"]);
  return onPath(env, ["firefox", "firefox-esr"]);
}
