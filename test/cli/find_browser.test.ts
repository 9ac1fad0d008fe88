/** The search for a browser, and the message if there is none. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Browser, BrowserPlatform, computeExecutablePath, detectBrowserPlatform } from "@puppeteer/browsers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BrowserNotFoundError, findChromium, findFirefox } from "../../src/cli/browser/find.js";

let directory = "";

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "wattgrad-browsers-"));
});

afterAll(() => rm(directory, { recursive: true }));

async function touch(...parts: string[]): Promise<string> {
  const path = join(directory, ...parts);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, "");
  return path;
}

/** A machine with nothing but what the test puts there. */
function bare(env: Record<string, string> = {}) {
  return { PATH: join(directory, "bin"), PUPPETEER_CACHE_DIR: join(directory, "no-cache"), ...env };
}

const offline = { platform: "linux", download: false } as const;

describe("findChromium", () => {
  it("takes the one that the environment names, before an installed one", async () => {
    const installed = await touch("first", "chromium");
    const named = await touch("mine", "chrome");
    const env = bare({ PATH: dirname(installed) });
    expect(await findChromium({ ...offline, env })).toEqual({
      executablePath: installed,
      origin: "installed",
    });
    for (const variable of ["CHROME_PATH", "PUPPETEER_EXECUTABLE_PATH"]) {
      const found = await findChromium({ ...offline, env: { ...env, [variable]: named } });
      expect(found).toEqual({ executablePath: named, origin: variable });
    }
  });

  it("refuses a name of nothing, instead of testing another browser", async () => {
    const env = bare({ CHROME_PATH: join(directory, "gone") });
    await expect(findChromium({ ...offline, env })).rejects.toThrow(/CHROME_PATH names .*gone.*no such file/);
  });

  it("takes the newest of puppeteer's cache, before an installed one", async () => {
    const platform = detectBrowserPlatform() ?? BrowserPlatform.LINUX;
    const cacheDir = join(directory, "cache");
    for (const buildId of ["99.0.1.0", "148.0.2.0", "148.0.10.0"]) {
      const path = computeExecutablePath({
        browser: Browser.CHROMEHEADLESSSHELL,
        buildId,
        platform,
        cacheDir,
      });
      await touch(path.slice(directory.length));
    }
    const installed = await touch("second", "google-chrome");
    const env = bare({ PUPPETEER_CACHE_DIR: cacheDir, PATH: dirname(installed) });
    const { executablePath, origin } = await findChromium({ ...offline, env });
    expect(origin).toBe("puppeteer's cache");
    expect(executablePath).toContain("148.0.10.0");
  });

  it.each([
    ["win32", "PROGRAMFILES", "Google/Chrome/Application/chrome.exe"],
    ["win32", "LOCALAPPDATA", "Chromium/Application/chrome.exe"],
    ["win32", "PROGRAMFILES(X86)", "Microsoft/Edge/Application/msedge.exe"],
    ["darwin", "HOME", "Applications/Chromium.app/Contents/MacOS/Chromium"],
    ["linux", "PATH", "microsoft-edge"],
  ] as const)("finds an installed one on %s in %s", async (platform, variable, path) => {
    const base = join(platform, variable);
    const executablePath = await touch(base, ...path.split("/"));
    const env = bare({ [variable]: join(directory, base) });
    const found = await findChromium({ env, platform, download: false });
    expect(found).toEqual({ executablePath, origin: "installed" });
  });

  it("says in one sentence what to do where there is none", async () => {
    const failure = await findChromium({ ...offline, env: bare() }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(BrowserNotFoundError);
    expect((failure as Error).message).toMatch(/^[^\n]*apt-get install chromium[^\n]*CHROME_PATH[^\n]*$/);
  });
});

describe("findFirefox", () => {
  it("takes FIREFOX_PATH, or an installed one", async () => {
    const installed = await touch("third", "firefox-esr");
    const env = bare({ PATH: dirname(installed) });
    expect((await findFirefox({ env, platform: "linux" })).executablePath).toBe(installed);
    const named = await touch("nightly", "firefox");
    const found = await findFirefox({ env: { ...env, FIREFOX_PATH: named }, platform: "linux" });
    expect(found).toEqual({ executablePath: named, origin: "FIREFOX_PATH" });
  });

  it("says what to do where there is none", async () => {
    await expect(findFirefox({ env: bare(), platform: "linux" })).rejects.toThrow(/FIREFOX_PATH/);
  });
});
