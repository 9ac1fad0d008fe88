/** Starts a browser with a given WebGL driver. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import type { Browser, LaunchOptions, Page } from "puppeteer";
import { type FoundBrowser, findChromium, findFirefox } from "./find.js";

/**
 * What draws: `default` is the browser's own choice (a GPU where there is one); `swiftshader` comes with Chromium;
 * `llvmpipe` is Mesa's, of Linux; `firefox` is Firefox, on Mesa's llvmpipe where there is no display.
 */
export type Driver = "default" | "swiftshader" | "llvmpipe" | "firefox";

export interface LaunchedBrowser {
  readonly browser: Browser;
  readonly found: FoundBrowser;
  close(): Promise<void>;
}

const chromiumFlags: Readonly<Record<Exclude<Driver, "firefox">, readonly string[]>> = {
  default: ["--ignore-gpu-blocklist"],
  swiftshader: ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
  llvmpipe: ["--use-gl=angle", "--use-angle=gl-egl", "--ignore-gpu-blocklist"],
};

/** Finds Mesa among the EGL drivers of a machine: with a GPU, another one may be first. */
const mesaVendor = "/usr/share/glvnd/egl_vendor.d/50_mesa.json";

/** Whether there is a Mesa for Chromium to draw with. */
export function hasMesa(): boolean {
  return existsSync(mesaVendor);
}

const mesaEnvironment: Readonly<Record<string, string>> = {
  LIBGL_ALWAYS_SOFTWARE: "1",
  ...(hasMesa() ? { __EGL_VENDOR_LIBRARY_FILENAMES: mesaVendor } : {}),
};

/** Milliseconds: one case on a slow driver, or many, may keep a page from answering. */
const protocolTimeout = 300_000;

/**
 * Starts `known`, by default the browser that `find.ts` finds, headless. `CI` in the environment, or root, turns the sandbox off, which
 * does not work there.
 *
 * @throws BrowserNotFoundError
 */
export async function launchBrowser(driver: Driver, known?: FoundBrowser): Promise<LaunchedBrowser> {
  const { default: puppeteer } = await import("puppeteer");
  const found = known ?? (await (driver === "firefox" ? findFirefox() : findChromium()));
  const { executablePath } = found;
  const common: LaunchOptions = { executablePath, headless: true, protocolTimeout };
  if (driver !== "firefox") {
    const isUnsandboxed = process.getuid?.() === 0 || Boolean(process.env.CI);
    const browser = await puppeteer.launch({
      ...common,
      args: [...chromiumFlags[driver], ...(isUnsandboxed ? ["--no-sandbox"] : [])],
      env: { ...process.env, ...(driver === "llvmpipe" ? mesaEnvironment : {}) },
    });
    return { browser, found, close: () => browser.close() };
  }
  const display = await openDisplay();
  try {
    const env = { ...process.env, ...(display ? { ...mesaEnvironment, DISPLAY: display.name } : {}) };
    const browser = await puppeteer.launch({ ...common, browser: "firefox", env });
    const close = async () => {
      await browser.close();
      display?.close();
    };
    return { browser, found, close };
  } catch (error) {
    display?.close();
    throw error;
  }
}

interface Display {
  readonly name: string;
  close(): void;
}

/** Firefox has WebGL only with an X display, headless or not; Xvfb is one without a screen. */
async function openDisplay(): Promise<Display | undefined> {
  if (process.platform !== "linux" || process.env.DISPLAY) return undefined;
  const server = spawn("Xvfb", ["-displayfd", "1", "-nolisten", "tcp"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const ended = once(server, "error").then(
    () => undefined,
    () => undefined,
  );
  // It writes the number of the display that it took once it is ready.
  const ready = once(server.stdout, "data").then(([number]) => String(number).trim());
  const number = await Promise.race([ready, ended, once(server, "exit").then(() => undefined)]);
  if (!number) return undefined;
  return { name: `:${number}`, close: () => server.kill() };
}

/** The WebGL2 renderer string of the page; undefined without WebGL2. */
export function rendererOf(page: Page): Promise<string | undefined> {
  return page.evaluate(() => {
    const gl = document.createElement("canvas").getContext("webgl2");
    if (gl === null) return undefined;
    const info = gl.getExtension("WEBGL_debug_renderer_info");
    const renderer = String(gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
    gl.getExtension("WEBGL_lose_context")?.loseContext();
    return renderer;
  });
}
