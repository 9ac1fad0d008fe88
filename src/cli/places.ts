/** The environments in which commands run models: this process, or headless browsers. */
import { createRequire } from "node:module";
import { Option } from "commander";
import { UsageError } from "./exit.js";
import { listOf } from "./options.js";

export const places = ["node", "chromium", "firefox"] as const;
export type PlaceName = (typeof places)[number];

/**
 * Before any work: checks that puppeteer is installed if a browser was requested.
 *
 * @throws UsageError that says how to get it.
 */
export function requireBrowserDriver(where: readonly PlaceName[]): void {
  const browser = where.find((place) => place !== "node");
  if (browser === undefined) return;
  try {
    createRequire(import.meta.url).resolve("puppeteer");
  } catch {
    throw new UsageError(
      `--where ${browser} needs puppeteer, which wattgrad does not install by itself: npm install puppeteer`,
    );
  }
}

export function whereOption(standard: readonly PlaceName[]): Option {
  return new Option("--where <places>", `of ${places.join(", ")}; browsers are headless`)
    .argParser(listOf(places))
    .default(standard, standard.join(","));
}
