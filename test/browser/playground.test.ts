/** The playground in a browser: it trains, predicts and changes devices without blocking the page's main thread. */
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Page } from "puppeteer";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readSafetensors } from "../../src/formats/index.js";
import { type Playground, startPlayground } from "../../src/playground/server.js";
import { type OpenBrowser, openBrowser } from "./open.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const opened = await openBrowser("swiftshader");
/** Milliseconds of processor time: longer tasks are felt (W3C, Long Tasks API). */
const longTask = 50;
const patience = 100_000;

let playground: Playground;
let directory: string;
beforeAll(async () => {
  playground = await startPlayground({ root, port: 0, host: "127.0.0.1" });
  directory = await mkdtemp(join(tmpdir(), "wattgrad-playground-"));
});
afterAll(async () => {
  await playground.close();
  if (typeof opened !== "string") await opened.close();
  await rm(directory, { recursive: true, force: true });
});

const problems: string[] = [];

async function openPage(url: string): Promise<Page> {
  const page = await (opened as OpenBrowser).launched.browser.newPage();
  await page.setViewport({ width: 1100, height: 1000 });
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(message.text());
  });
  await page.goto(url);
  await page.waitForSelector("#start:enabled", { timeout: patience });
  return page;
}

function textOf(page: Page, id: string): Promise<string> {
  return page.$eval(`#${id}`, (element) => element.textContent ?? "");
}

/** Until the number in an element is at least so high. */
async function waitForNumber(page: Page, id: string, low: number): Promise<void> {
  await page.waitForFunction(
    (name, least) => Number.parseFloat(document.getElementById(name)!.textContent ?? "") >= least,
    { timeout: patience },
    id,
    low,
  );
}

/** Until the newest progress is one that came after this call. */
async function waitForProgress(page: Page): Promise<void> {
  const before = await textOf(page, "progress-text");
  await page.waitForFunction(
    (old) => document.getElementById("progress-text")!.textContent !== old,
    { timeout: patience },
    before,
  );
}

interface TraceEvent {
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  /** Microseconds of the thread's processor time. */
  readonly tdur?: number;
  readonly args: { readonly name?: string };
}

/** What the trace of a page recorded of its main thread. */
interface MainThread {
  /** Milliseconds of processor time of every task, the longest first. */
  readonly tasks: readonly number[];
  /** Says what the trace holds, for a failure. */
  readonly trace: string;
}

/** A mark that the page sets, by which its thread is found: the metadata that names threads is sometimes missing in a trace. */
const mark = "main thread of the playground";

/**
 * The tasks of the page's main thread during `action`, in processor time: on a busy machine, wall-clock time also measures
 * how long other processes ran.
 */
async function mainThreadTasks(page: Page, action: () => Promise<void>): Promise<MainThread> {
  await page.tracing.start({
    categories: ["disabled-by-default-devtools.timeline", "devtools.timeline", "blink.user_timing"],
  });
  await page.evaluate((name) => void performance.mark(name), mark);
  await action();
  await page.evaluate((name) => void performance.mark(name), mark);
  const bytes = await page.tracing.stop();
  const events = JSON.parse(new TextDecoder().decode(bytes)).traceEvents as TraceEvent[];
  const threads = new Set(
    events
      .filter(({ name, args }) => name === mark || (name === "thread_name" && args.name === "CrRendererMain"))
      .map(({ pid, tid }) => `${pid}/${tid}`),
  );
  const tasks = events
    .filter(({ name, pid, tid }) => name.endsWith("RunTask") && threads.has(`${pid}/${tid}`))
    .map(({ tdur = 0 }) => tdur / 1000)
    .sort((a, b) => b - a);
  const marks = events.filter(({ name }) => name === mark).length;
  return {
    tasks,
    trace: `${events.length} events, ${marks} marks, ${tasks.length} tasks, threads ${[...threads]}`,
  };
}

/** Holds up the page's main thread for a second. */
function holdUp(page: Page): Promise<void> {
  return page.evaluate(
    () =>
      new Promise<void>((resolve) =>
        setTimeout(() => {
          let x = 0;
          const end = performance.now() + 1000;
          while (performance.now() < end) x += Math.sin(x);
          resolve();
        }),
      ),
  );
}

/**
 * A page whose tasks the tracer sees. The tracer connects to a page's process some time after it starts, and on a busy
 * machine sometimes not at all: after a few attempts another page is opened.
 */
async function openTracedPage(url: string): Promise<Page> {
  const traces: string[] = [];
  for (let pages = 0; pages < 5; pages++) {
    const page = await openPage(url);
    for (let attempt = 0; attempt < 4; attempt++) {
      const { tasks, trace } = await mainThreadTasks(page, () => holdUp(page));
      if (tasks[0] > longTask) return page;
      traces.push(trace);
    }
    await page.close();
  }
  throw new Error(`the measurement does not see a page that is held up:\n${traces.join("\n")}`);
}

async function draw(page: Page): Promise<void> {
  const box = (await (await page.$("#pad"))!.boundingBox())!;
  const [x, top, bottom] = [box.x + box.width / 2, box.y + box.height * 0.2, box.y + box.height * 0.8];
  await page.mouse.move(x, top);
  await page.mouse.down();
  await page.mouse.move(x, bottom, { steps: 20 });
  await page.mouse.up();
}

test.skipIf(typeof opened === "string")(
  "trains, classifies drawings, changes devices while it runs, and never holds up the page",
  async () => {
    const page = await openTracedPage(playground.url);
    expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
    await page.evaluate(() => {
      const tasks: number[] = [];
      Object.assign(globalThis, { longTasks: tasks });
      new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) tasks.push(duration);
      }).observe({ type: "longtask" });
    });
    const { tasks, trace } = await mainThreadTasks(page, async () => {
      await page.click("#start");
      await waitForNumber(page, "epochs", 0.3);
      await draw(page);
      await page.waitForSelector("#bars .best", { timeout: patience });
      await page.select("#device", "reference");
      await page.waitForFunction(
        () => document.getElementById("device-text")!.textContent!.includes("float64"),
        { timeout: patience },
      );
      await waitForProgress(page);
      await page.select("#device", "wasm");
      await waitForNumber(page, "epochs", 0.8);
      await waitForNumber(page, "test-accuracy", 50);
      await page.click("#show-mistakes");
      await page.waitForSelector("#show-mistakes[aria-pressed=true]", { timeout: patience });
    });
    const wallClock = (await page.evaluate("longTasks")) as number[];
    console.info(
      `main thread while training: ${tasks.length} tasks, the longest ${tasks[0].toFixed(1)} ms of processor time; ` +
        `by the wall clock, beside all other work of this machine, above 50 ms: [${wallClock.join(", ")}] ms`,
    );
    expect(tasks.length, trace).toBeGreaterThan(100);
    expect(tasks[0]).toBeLessThan(longTask);
    expect(await page.$$eval("#gallery .wrong:not([hidden])", (tiles) => tiles.length)).toBeGreaterThan(0);
    expect(await page.$$eval("#gallery .right:not([hidden])", (tiles) => tiles.length)).toBe(0);
    await page.click("#start");
    await page.waitForFunction(() => document.getElementById("start")!.textContent === "Train", {
      timeout: patience,
    });
    expect(await page.$eval("#error", (element) => (element as HTMLElement).hidden)).toBe(true);

    const session = await page.createCDPSession();
    await session.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: directory });
    await page.click("#save");
    const file = await expect
      .poll(async () => (await readdir(directory)).find((name) => name.endsWith(".safetensors")), {
        timeout: patience,
      })
      .toBeDefined()
      .then(() => readFile(join(directory, "mnist-cnn.safetensors")));
    expect(readSafetensors(file).tensors.get("classifier.3.weight")?.shape).toEqual([10, 128]);
    await page.close();
    expect(problems).toEqual([]);
  },
  4 * patience,
);

test.skipIf(typeof opened === "string")(
  "a device that is not there is said in a sentence, and another one trains",
  async () => {
    // The same page without the wasm binaries.
    const lacking = join(directory, "lacking");
    await mkdir(join(lacking, "test", "data"), { recursive: true });
    await cp(join(root, "dist", "playground"), join(lacking, "dist", "playground"), { recursive: true });
    await symlink(join(root, "test", "data", "mnist"), join(lacking, "test", "data", "mnist"));
    const incomplete = await startPlayground({ root: lacking, port: 0, host: "127.0.0.1" });
    const page = await openPage(incomplete.url);
    await page.waitForSelector("#device option[value=wasm]:disabled", { timeout: patience });
    expect(await textOf(page, "device-text")).toMatch(/^Runs on /);
    expect(await textOf(page, "reasons")).toMatch(
      /WebAssembly SIMD: cannot load .*simd|WebAssembly SIMD: .*relaxed/,
    );
    await page.close();
    await incomplete.close();
  },
  4 * patience,
);

test.skipIf(typeof opened === "string")(
  "on WebGL2 it tells how many shaders are compiled, and trains then",
  async () => {
    const page = await openPage(playground.url);
    await page.evaluate(() => {
      const said: string[] = [];
      Object.assign(globalThis, { said });
      const text = document.getElementById("device-text")!;
      new MutationObserver(() => said.push(text.textContent!)).observe(text, { childList: true });
    });
    await page.select("#device", "webgl");
    await page.click("#start");
    await waitForNumber(page, "speed", 1);
    const said = ((await page.evaluate("said")) as string[]).filter((text) => text.includes("shaders"));
    expect(said[0]).toMatch(/^Runs on WebGL2, .*\. Compiling shaders: 0 of \d+ …$/);
    expect(new Set(said).size).toBeGreaterThan(5);
    // The test after the round has a few shaders of its own.
    await page.waitForFunction(
      () => /^Runs on WebGL2, .*\)\.$/.test(document.getElementById("device-text")!.textContent!),
      { timeout: patience },
    );
    await page.close();
    expect(problems).toEqual([]);
  },
  4 * patience,
);

test.skipIf(typeof opened === "string")("fits a phone in both schemes", async () => {
  const page = await openPage(playground.url);
  for (const scheme of ["light", "dark"]) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await page.setViewport({ width: 360, height: 740, isMobile: true, hasTouch: true });
    const { width, brightness } = await page.evaluate(() => ({
      width: document.documentElement.scrollWidth,
      brightness: Number(/\d+/.exec(getComputedStyle(document.body).backgroundColor)?.[0]),
    }));
    expect(width, "nothing to scroll sideways").toBe(360);
    expect(brightness > 128).toBe(scheme === "light");
  }
  await page.close();
});
