/** Setup of the browser suites: builds the pages, and finds or downloads a Chromium once for all of them. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { BrowserNotFoundError, type FoundBrowser, findChromium } from "../../src/cli/browser/find.js";
import { buildPages } from "./build.js";

declare module "vitest" {
  export interface ProvidedContext {
    /** A directory to serve. */
    pages: string;
    /** Or why there is none. */
    chromium: FoundBrowser | string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(tmpdir(), "wattgrad-pages-"));
  await buildPages(directory);
  project.provide("pages", directory);
  project.provide("chromium", await findOrExplain());
  return () => rm(directory, { recursive: true, force: true });
}

async function findOrExplain(): Promise<FoundBrowser | string> {
  try {
    return await findChromium();
  } catch (error) {
    if (!(error instanceof BrowserNotFoundError)) throw error;
    console.warn(`\nWARNING: the tests in the browser are LEFT OUT: ${error.message}\n`);
    return error.message;
  }
}
