/** Opens a browser with one test page; returns the reason if that is not possible. */
import type { Page } from "puppeteer";
import { inject } from "vitest";
import { BrowserNotFoundError } from "../../src/cli/browser/find.js";
import {
  type Driver,
  hasMesa,
  type LaunchedBrowser,
  launchBrowser,
  rendererOf,
} from "../../src/cli/browser/launch.js";
import { type PageServer, type ServeOptions, serve } from "../../src/cli/browser/serve.js";

/** What the renderer's name has to contain: a run on another one shows nothing about this. */
const renderers: Readonly<Record<Exclude<Driver, "default">, RegExp>> = {
  swiftshader: /SwiftShader/,
  llvmpipe: /llvmpipe/,
  // It tells no more of a renderer than its kind.
  firefox: /./,
};

/**
 * REQUIRE_BROWSER=1: no Chromium is a failure, and so is a browser or driver that is installed but does not draw. Mesa
 * and Firefox may be missing.
 */
const isRequired = Boolean(process.env.REQUIRE_BROWSER);

export interface OpenBrowser {
  readonly launched: LaunchedBrowser;
  readonly renderer: string;
  /** A new page; navigates to it and waits for its script. */
  openPage(url?: string): Promise<Page>;
  /** Serves the pages in another manner, until the browser is closed. */
  serveAs(options: ServeOptions): Promise<PageServer>;
  /** Errors that no script in a page caught, in the order in which they came. */
  readonly problems: readonly string[];
  close(): Promise<void>;
}

/** The browser with that driver; or why it cannot be had, printed once. Throws where one is required. */
export async function openBrowser(driver: Exclude<Driver, "default">): Promise<OpenBrowser | string> {
  const chromium = inject("chromium");
  if (driver !== "firefox" && typeof chromium === "string") {
    if (isRequired) throw new BrowserNotFoundError(chromium);
    return chromium;
  }
  if (driver === "llvmpipe" && !hasMesa()) {
    return leftOut(driver, "Mesa is not installed (apt-get install libegl1 libgles2 libgl1-mesa-dri)");
  }
  let launched: LaunchedBrowser;
  try {
    launched = await launchBrowser(
      driver,
      driver === "firefox" || typeof chromium === "string" ? undefined : chromium,
    );
  } catch (error) {
    if (error instanceof BrowserNotFoundError) return leftOut(driver, error.message);
    throw error;
  }
  const page = await launched.browser.newPage();
  const renderer = await rendererOf(page);
  await page.close();
  console.info(
    `${driver}: ${await launched.browser.version()}, ${renderer} (${launched.found.executablePath})`,
  );
  if (renderer === undefined || !renderers[driver].test(renderer)) {
    await launched.close();
    const reason = `WebGL2 is drawn by ${renderer ?? "nothing"}`;
    if (isRequired) throw new Error(`${driver}: ${reason}`);
    return leftOut(driver, reason);
  }
  return new Session(launched, renderer, await serve(inject("pages")));
}

function leftOut(driver: Driver, reason: string): string {
  console.warn(`\nWARNING: the tests on ${driver} are LEFT OUT: ${reason}\n`);
  return reason;
}

class Session implements OpenBrowser {
  readonly problems: string[] = [];
  readonly #servers: PageServer[];

  constructor(
    readonly launched: LaunchedBrowser,
    readonly renderer: string,
    readonly server: PageServer,
  ) {
    this.#servers = [server];
  }

  async openPage(url = this.server.url): Promise<Page> {
    const page = await this.launched.browser.newPage();
    page.on("pageerror", (error) => this.problems.push(String(error)));
    await page.goto(url);
    await page.waitForFunction(() => "wattgradPage" in globalThis);
    return page;
  }

  async serveAs(options: ServeOptions): Promise<PageServer> {
    const server = await serve(inject("pages"), options);
    this.#servers.push(server);
    return server;
  }

  async close(): Promise<void> {
    await this.launched.close();
    for (const server of this.#servers) await server.close();
  }
}
