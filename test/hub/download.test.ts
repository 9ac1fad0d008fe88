/** Downloads from a faulty server: the cache has a verified file, a resumable part, or nothing. */
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ArgumentError } from "../../src/core/errors.js";
import { FileError } from "../../src/formats/file.js";
import {
  ChecksumError,
  DownloadError,
  type FileSource,
  type HubOptions,
  hub,
  type ProgressEvent,
  url,
} from "../../src/hub/index.js";
import { commit, type Fault, ModelServer } from "./model_server.js";

const MB = 2 ** 20;
const config = new TextEncoder().encode('{"model_type":"gpt2"}');
/** Above the size up to which files come as a whole. */
const weights = new Uint8Array(randomBytes(17 * MB + 12_345));
const weightsPath = "model.safetensors";
let cache = "";
let server: ModelServer;

beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), "wattgrad-cache-"));
  server = await new ModelServer({
    "config.json": config,
    "1_Pooling/config.json": config,
    [weightsPath]: weights,
  }).start();
});

afterEach(async () => {
  vi.restoreAllMocks();
  await server.stop();
  await rm(cache, { recursive: true });
});

const open = (options: HubOptions = {}) => hub("org/model", { endpoint: server.endpoint, cache, ...options });
const equal = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;
const readWeights = async (source: FileSource) => {
  await source.prepare!(weightsPath);
  return source.read(weightsPath);
};
/** What the cache has of the weights: names behind theirs, with sizes. */
async function stored(): Promise<Record<string, number>> {
  const names = await readdir(cache, { recursive: true, withFileTypes: true });
  const found = names.filter((entry) => entry.isFile() && entry.name.startsWith(weightsPath));
  return Object.fromEntries(
    found.map(({ name, parentPath }) => [
      name.slice(weightsPath.length),
      fs.statSync(join(parentPath, name)).size,
    ]),
  );
}
const placeOfWeights = () =>
  join(cache, "hub", new URL(server.endpoint).host.replace(":", "_"), "org", "model", commit, weightsPath);
const once = (fault: Fault) => (_: string, count: number) => (count === 0 ? fault : {});

describe("a server as it should be", () => {
  test("one request tells of all files; each is downloaded once", async () => {
    const source = open();
    expect(source.label).toBe("org/model@main");
    expect(await source.list!()).toEqual(["1_Pooling/config.json", "config.json", weightsPath]);
    expect(await source.has("tokenizer.json")).toBe(false);
    expect(await source.size(weightsPath)).toBe(weights.length);
    expect(server.requests).toHaveLength(1);
    expect(equal(await source.read("config.json"), config)).toBe(true);
    expect(
      equal(await source.read("1_Pooling/config.json", { start: 2, end: 5 }), config.subarray(2, 5)),
    ).toBe(true);
    expect(equal(await readWeights(source), weights)).toBe(true);
    expect(server.reads.map(([path]) => path)).toEqual(["config.json", "1_Pooling/config.json", weightsPath]);
    const again = open();
    expect(equal(await again.read("config.json"), config)).toBe(true);
    expect(equal(await readWeights(again), weights)).toBe(true);
    expect(server.reads).toHaveLength(3);
    expect(await stored()).toEqual({ "": weights.length });
    await expect(source.read("tokenizer.json")).rejects.toThrow(
      /org\/model@main has no file tokenizer\.json/,
    );
    await expect(source.read("../x")).rejects.toThrow(/no relative path/);
  });

  test("the header of a large file takes a small read; who reads on gets the whole", async () => {
    const source = open();
    const head = await source.read(weightsPath, { start: 8, end: 100 });
    expect(equal(head, weights.subarray(8, 100))).toBe(true);
    expect(server.bytesSent).toBeLessThan(0.5 * MB);
    expect(await stored()).toEqual({});
    for (let start = 0; start < weights.length; start += 4 * MB) {
      const end = Math.min(start + 4 * MB, weights.length);
      expect(equal(await source.read(weightsPath, { start, end }), weights.subarray(start, end))).toBe(true);
    }
    expect(await stored()).toEqual({ "": weights.length });
  });

  test("the events of transformers.js, in their order", async () => {
    const events: ProgressEvent[] = [];
    const source = open({ onProgress: (event) => events.push(event) });
    await source.prepare!(weightsPath);
    const statuses = events.map(({ status }) => status);
    expect(statuses.slice(0, 3)).toEqual(["initiate", "download", "progress"]);
    expect(statuses.at(-1)).toBe("done");
    // After each part of the file, the sum over all files.
    const parts = statuses.slice(2, -1);
    expect(parts).toEqual(parts.map((_, i) => (i % 2 === 0 ? "progress" : "progress_total")));
    expect(events.at(-2)!.files).toEqual({
      [weightsPath]: { loaded: weights.length, total: weights.length },
    });
    const loaded = events.slice(1).map((event) => event.loaded);
    expect(loaded).toEqual([...loaded].sort((a, b) => a - b));
    expect(events.at(-1)).toEqual({
      status: "done",
      name: "org/model@main",
      file: weightsPath,
      loaded: weights.length,
      total: weights.length,
      progress: 100,
    });
  });

  test("a token goes to the endpoint only", async () => {
    await open({ token: "secret" }).read("config.json");
    const of = (part: string) =>
      server.requests.filter(({ url }) => url.includes(part)).map((each) => each.authorization);
    expect(of("/api/")).toEqual(["Bearer secret"]);
    expect(of("/resolve/")).toEqual(["Bearer secret"]);
    expect(of("/store/")).toEqual([undefined]);
  });

  test("a server without the API is asked for each file; what it redirects to is checked", async () => {
    server.hasApi = false;
    const source = open({ revision: commit });
    expect(await source.has("vocab.json")).toBe(false);
    expect(equal(await readWeights(source), weights)).toBe(true);
    await expect(source.list!()).rejects.toThrow(/does not list the files/);
    server.announced = () => ({ digest: "0".repeat(64) });
    await expect(open({ revision: commit }).read("config.json")).rejects.toThrow(ChecksumError);
  });

  test("without a cache small files are in memory, and large ones are read by ranges", async () => {
    const source = open({ cache: false });
    expect(equal(await source.read("config.json"), config)).toBe(true);
    await source.prepare!(weightsPath);
    for (const start of [0, 16 * MB, 5]) {
      expect(
        equal(
          await source.read(weightsPath, { start, end: start + 1000 }),
          weights.subarray(start, start + 1000),
        ),
      ).toBe(true);
    }
    expect(await readdir(cache)).toEqual([]);
    expect(server.bytesSent).toBeLessThan(2 * MB);
  });

  test("without a network the last known commit is used", async () => {
    await open().read("config.json");
    await server.stop();
    const source = open();
    expect(equal(await source.read("config.json"), config)).toBe(true);
    await expect(source.read("1_Pooling/config.json")).rejects.toThrow(DownloadError);
    await expect(open({ revision: "other" }).read("config.json")).rejects.toThrow(/cannot fetch/);
  });
});

describe("a server that fails", () => {
  test("cut at 20 random places in one download, the bytes are the same, and none comes twice", async () => {
    const places = Array.from({ length: 20 }, () => Math.floor(Math.random() * weights.length)).sort(
      (a, b) => a - b,
    );
    server.fault = (_, count) => ({ cutAt: places[count] });
    expect(equal(await readWeights(open()), weights), `cut at ${places}`).toBe(true);
    expect(server.bytesSent).toBeLessThan(weights.length + 20 * MB);
    expect(server.reads.length).toBeGreaterThan(10);
    const starts = server.reads.map(([, start]) => start);
    expect(starts).toEqual([...starts].sort((a, b) => a - b));
  });

  test("ended by its user at 20 random places, each download goes on where the one before it was", async () => {
    for (let i = 1; i <= 20; i++) {
      const controller = new AbortController();
      const limit = (i * weights.length) / 21;
      const onProgress = ({ status, loaded }: ProgressEvent) => {
        if (status === "progress" && loaded >= limit) controller.abort(new Error("enough"));
      };
      await expect(open().prepare!(weightsPath, { signal: controller.signal, onProgress })).rejects.toThrow(
        "enough",
      );
      const [[name, bytes]] = Object.entries(await stored());
      expect(name).toBe(".partial");
      expect(bytes).toBeGreaterThanOrEqual(limit);
    }
    expect(equal(await readWeights(open()), weights)).toBe(true);
    const starts = server.reads.map(([, start]) => start);
    expect(starts).toEqual([...starts].sort((a, b) => a - b));
    expect(new Set(starts).size).toBe(21);
  });

  test("a server that ignores ranges sends the whole, from the start", async () => {
    server.fault = (_, count) => (count === 0 ? { cutAt: 3 * MB } : { ignoreRange: true });
    expect(equal(await readWeights(open()), weights)).toBe(true);
    expect(server.reads).toHaveLength(2);
  });

  test("a connection that brings nothing again and again is one error, with the part kept", async () => {
    server.fault = () => ({ cutAt: 2 * MB });
    const failing = open().prepare!(weightsPath);
    await expect(failing).rejects.toThrow(DownloadError);
    await expect(failing).rejects.toMatchObject({ expected: weights.length, resumable: true });
    const { received } = (await failing.catch(
      (error: DownloadError) => error as DownloadError,
    )) as DownloadError;
    expect(await stored()).toEqual({ ".partial": received });
    server.fault = () => ({});
    expect(equal(await readWeights(open()), weights)).toBe(true);
  });

  test("a file that is shorter or longer than announced never becomes one", async () => {
    server.announced = () => ({ size: weights.length + 5 });
    await expect(open().prepare!(weightsPath)).rejects.toThrow(/the server ended early|HTTP status/);
    expect(Object.keys(await stored())).toEqual([".partial"]);
    server.announced = () => ({ size: weights.length - 5 });
    await rm(cache, { recursive: true });
    await expect(open().prepare!(weightsPath)).rejects.toThrow(/sends more than/);
    expect(await stored()).toEqual({});
  });

  test("another digest than announced: an error, and nothing is kept", async () => {
    const damaged = Uint8Array.from(weights);
    damaged[5 * MB] ^= 1;
    server.fault = () => ({ contents: damaged });
    await expect(open().prepare!(weightsPath)).rejects.toThrow(ChecksumError);
    expect(await stored()).toEqual({});
    server.fault = () => ({ contents: Uint8Array.from(config, (byte) => byte ^ 1) });
    await expect(open().read("config.json")).rejects.toThrow(ChecksumError);
    server.fault = () => ({});
    expect(equal(await readWeights(open()), weights)).toBe(true);
    expect(equal(await open().read("config.json"), config)).toBe(true);
  });

  test("a part that was damaged on disk is fetched anew", async () => {
    server.fault = once({ cutAt: 9 * MB, status: undefined });
    const controller = new AbortController();
    const onProgress = ({ loaded }: ProgressEvent) => loaded > 8 * MB && controller.abort();
    await open().prepare!(weightsPath, { signal: controller.signal, onProgress }).catch(() => {});
    const part = `${placeOfWeights()}.partial`;
    const bytes = await readFile(part);
    bytes[1000] ^= 255;
    await writeFile(part, bytes);
    expect(equal(await readWeights(open()), weights)).toBe(true);
    expect(await stored()).toEqual({ "": weights.length });
  });

  test("a file of another length in the cache is not used", async () => {
    await open().prepare!(weightsPath);
    await fs.promises.truncate(placeOfWeights(), 1000);
    expect(equal(await readWeights(open()), weights)).toBe(true);
  });

  test("429 is obeyed; a wait of an hour is an error that says so", async () => {
    server.fault = once({ status: 429, headers: { "retry-after": "1" } });
    const start = performance.now();
    expect(equal(await open().read("config.json"), config)).toBe(true);
    expect(performance.now() - start).toBeGreaterThan(950);
    server.fault = () => ({ status: 429, headers: { "retry-after": "3600" } });
    await expect(open().prepare!(weightsPath)).rejects.toThrow(/status 429.*Retry-After 3600/);
  });

  test("a slow server is left at once when its user has enough", async () => {
    server.fault = () => ({ slow: 20 });
    const controller = new AbortController();
    const onProgress = ({ status, loaded }: ProgressEvent) => {
      // Not with the first bytes, which may not be on the disk yet.
      if (status === "progress" && loaded > 0 && seen++ > 0) controller.abort(new Error("too slow"));
    };
    let seen = 0;
    const { signal } = controller;
    await expect(open().prepare!(weightsPath, { signal, onProgress })).rejects.toThrow("too slow");
    expect(Object.keys(await stored())).toEqual([".partial"]);
  });

  test("refusals of the Hub have a way out", async () => {
    const refuse = (status: number, headers = {}) =>
      vi.spyOn(globalThis, "fetch").mockImplementation(async () => new Response("", { status, headers }));
    refuse(401, { "x-error-message": "Invalid username or password." });
    await expect(open().read("config.json")).rejects.toThrow(/status 401, Invalid username.*option token/);
    refuse(404, { "x-error-code": "RepoNotFound" });
    await expect(open().has("config.json")).rejects.toThrow(/repository or the revision does not exist/);
    refuse(200);
    await expect(open().has("config.json")).rejects.toThrow(/does not answer as the Hub/);
    expect(() => hub("a/b/c")).toThrow(ArgumentError);
  });
});

describe("the cache on disk", () => {
  test("a full disk is one error, what is there stays, and the download goes on when there is room", async () => {
    await open().read("config.json");
    const { open: really } = fs.promises;
    vi.spyOn(fs.promises, "open").mockImplementation(async (...args) => {
      const handle = await really(...args);
      const { write } = handle;
      let left = 6 * MB;
      handle.write = (async (bytes: Uint8Array, at: number, length: number, position: number) => {
        if (left < length)
          throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
        left -= length;
        return Reflect.apply(write, handle, [bytes, at, length, position]);
      }) as typeof handle.write;
      return handle;
    });
    await expect(open().prepare!(weightsPath)).rejects.toThrow(FileError);
    await expect(open().prepare!(weightsPath)).rejects.toThrow(
      /cannot write .*model\.safetensors: the disk is full, ENOSPC/,
    );
    expect(Object.keys(await stored())).toEqual([".partial"]);
    vi.restoreAllMocks();
    const before = server.reads.length;
    expect(equal(await open().read("config.json"), config)).toBe(true);
    expect(server.reads).toHaveLength(before);
    expect(equal(await readWeights(open()), weights)).toBe(true);
  });

  test("of several that want one file, one downloads it", async () => {
    server.fault = () => ({ slow: 1 });
    const all = await Promise.all(Array.from({ length: 4 }, () => readWeights(open())));
    expect(all.every((bytes) => equal(bytes, weights))).toBe(true);
    expect(server.reads.length).toBe(1);
    expect(await stored()).toEqual({ "": weights.length });
  });

  test("what a killed process has left is gone on with; the part of a living one is not touched", async () => {
    const place = placeOfWeights();
    await mkdir(dirname(place), { recursive: true });
    const host = hostname().replace(/[^\w.+=@ -]/g, "_");
    // Above what Linux gives out.
    await writeFile(`${place}.partial.${host}.${2 ** 30}.dead`, weights.subarray(0, 7 * MB));
    expect(equal(await readWeights(open()), weights)).toBe(true);
    expect(server.reads).toEqual([[weightsPath, 7 * MB]]);

    await rm(place);
    await writeFile(`${place}.partial.${host}.${process.ppid}.alive`, weights.subarray(0, MB));
    const reason = new Error("enough");
    const waiting = open().prepare!(weightsPath, { signal: AbortSignal.timeout(400) });
    await expect(waiting).rejects.not.toBe(reason);
    expect(await stored()).toEqual({ [`.partial.${host}.${process.ppid}.alive`]: MB });
  });
});

describe("files below a URL", () => {
  test("are downloaded once for each version", async () => {
    const make = () => url(`${server.endpoint}/plain/`, { cache });
    expect(equal(await make().read("1_Pooling/config.json"), config)).toBe(true);
    expect(equal(await readWeights(make()), weights)).toBe(true);
    expect(equal(await readWeights(make()), weights)).toBe(true);
    expect(server.reads).toHaveLength(2);
    const changed = Uint8Array.from(weights);
    changed[0] ^= 1;
    server.files.set(weightsPath, changed);
    expect(equal(await readWeights(make()), changed)).toBe(true);
    expect(await make().has("x.json")).toBe(false);
    expect(() => url("http://")).toThrow(ArgumentError);
  });

  test("a part of another version is not continued", async () => {
    server.fault = once({ cutAt: 4 * MB });
    const source = url(`${server.endpoint}/plain`, { cache });
    const changed = Uint8Array.from(weights, (byte) => byte ^ 255);
    const onProgress = ({ loaded }: ProgressEvent) => {
      if (loaded > 2 * MB) server.files.set(weightsPath, changed);
    };
    await source.prepare!(weightsPath, { onProgress });
    expect(equal(await source.read(weightsPath), changed)).toBe(true);
  });
});
