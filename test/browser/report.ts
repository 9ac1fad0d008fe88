/** Opens reports of the command line from disk, in a browser of a given width. */
import type { Page } from "puppeteer";
import type { OpenBrowser } from "./open.js";

export interface OpenReport {
  readonly page: Page;
  /** Words in the console, uncaught errors, and requests for anything but the report; grows while the page is open. */
  readonly problems: readonly string[];
}

/** @param theme `light` or `dark`, as the reader prefers. */
export async function openReport(
  { launched }: OpenBrowser,
  url: string,
  width: number,
  theme: string,
): Promise<OpenReport> {
  const page = await launched.browser.newPage();
  const problems: string[] = [];
  page.on("console", (message) => problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("request", (request) => {
    if (request.url() !== url && !request.url().startsWith("data:")) problems.push(request.url());
  });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
  await page.setViewport({ width, height: 800 });
  await page.goto(url, { waitUntil: "load" });
  await page.waitForFunction(() =>
    [...document.querySelectorAll("canvas")].every(({ width: pixels }) => pixels > 0),
  );
  return { page, problems };
}
