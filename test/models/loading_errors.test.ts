/** Loading from a server: what goes wrong is one clear error, nothing is on the device, and the cache is as it should be. */
import fs from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FormatError } from "../../src/core/errors.js";
import { openReference } from "../../src/device/reference/reference.js";
import { FileError } from "../../src/formats/file.js";
import { generate } from "../../src/generation/index.js";
import { ChecksumError, hub } from "../../src/hub/index.js";
import {
  type CausalModel,
  ConfigError,
  fromPretrained,
  type LoadProgress,
  TokenizerMismatchError,
} from "../../src/models/index.js";
import { int8WeightOnly } from "../../src/quantization/index.js";
import { ModelServer } from "../hub/model_server.js";
import { fixtureConfig, fixtureSource } from "./fixture.js";

const name = "smollm2_bf16";
const root = new URL(`../fixtures/models/${name}/`, import.meta.url);
const contents = Object.fromEntries(
  fs
    .readdirSync(root)
    .filter((path) => !path.startsWith("expected"))
    .map((path) => [path, new Uint8Array(fs.readFileSync(new URL(path, root)))]),
);
const shards = Object.keys(contents).filter((path) => path.endsWith(".safetensors"));
const device = openReference();
let cache = "";
let server: ModelServer;

beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), "wattgrad-cache-"));
  server = await new ModelServer({ ...contents }).start();
});

afterEach(async () => {
  vi.restoreAllMocks();
  expect(device.memory().liveBuffers).toBe(0);
  await server.stop();
  await rm(cache, { recursive: true });
});

const open = () => hub("org/model", { endpoint: server.endpoint, cache });
const load = (options: Parameters<typeof fromPretrained>[1] = {}) =>
  fromPretrained<CausalModel>(open(), { device, ...options });
/** Files in the cache that are no whole files of the server, or have other bytes. */
async function damagedFiles(): Promise<string[]> {
  const entries = await readdir(cache, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && !entry.parentPath.includes("revisions"))
    .filter((entry) => {
      const bytes = fs.readFileSync(join(entry.parentPath, entry.name));
      const wanted = contents[entry.name];
      return wanted === undefined || Buffer.compare(bytes, wanted) !== 0;
    })
    .map((entry) => entry.name);
}

describe("from a server", () => {
  it("files are downloaded once; the events are those of transformers.js", async () => {
    const events: LoadProgress[] = [];
    const { model } = await load({ onProgress: (event) => events.push(event) });
    for (const file of ["config.json", ...shards]) {
      const statuses = events.filter((event) => event.file === file).map(({ status }) => status);
      expect(statuses.slice(0, 2)).toEqual(["initiate", "download"]);
      expect(statuses.at(-1)).toBe("done");
    }
    const totals = events.filter(({ status }) => status === "progress_total").map(({ progress }) => progress);
    expect(totals.at(-1)).toBe(100);
    expect(events.at(-1)!.status).toBe("ready");
    const before = server.reads.length;
    (await load()).model.dispose();
    expect(server.reads).toHaveLength(before);
    expect(await damagedFiles()).toEqual([]);
    model.dispose();
  });

  it("a download that is aborted ends with the user's reason", async () => {
    server.fault = (path) => (path === shards[1] ? { slow: 50 } : {});
    const controller = new AbortController();
    const onProgress = ({ status, file }: LoadProgress) => {
      if (status === "download" && file === shards[1]) controller.abort(new Error("enough"));
    };
    await expect(load({ onProgress, signal: controller.signal })).rejects.toThrow("enough");
    server.fault = () => ({});
    (await load()).model.dispose();
    expect(await damagedFiles()).toEqual([]);
  });

  it("a truncated shard", async () => {
    const whole = contents[shards[1]];
    server.files.set(shards[1], whole.subarray(0, whole.length - 100));
    await expect(load()).rejects.toThrow(FormatError);
    await expect(load()).rejects.toThrow(new RegExp(`${shards[1]}`));
  });

  it("a shard with another digest than announced", async () => {
    const damaged = Uint8Array.from(contents[shards[1]]);
    damaged[damaged.length - 1] ^= 1;
    server.fault = (path) => (path === shards[1] ? { contents: damaged } : {});
    await expect(load({ quantization: int8WeightOnly() })).rejects.toThrow(ChecksumError);
    expect(await damagedFiles()).toEqual([]);
    server.fault = () => ({});
    (await load()).model.dispose();
  });

  it("a value of the configuration that nobody supports", async () => {
    const config = { ...fixtureConfig(name), hidden_act: "mish" };
    server.files.set("config.json", new TextEncoder().encode(JSON.stringify(config)));
    await expect(load()).rejects.toThrow(ConfigError);
    await expect(load()).rejects.toThrow(/hidden_act.*mish.*silu/);
    expect(server.reads.every(([path]) => !shards.includes(path))).toBe(true);
  });

  it("the tokenizer of another model", async () => {
    const tokenizer = { size: 99 };
    await expect(load({ tokenizer })).rejects.toThrow(TokenizerMismatchError);
    await expect(load({ tokenizer })).rejects.toThrow(
      /the tokenizer has 99 tokens, org\/model@main 61: they are not of one model/,
    );
    const { model } = await fromPretrained<CausalModel>(fixtureSource("llama"), { device });
    const decode = () => "";
    expect(() => generate(model, { inputIds: [5], tokenizer: { size: 99, decode } })).toThrow(
      TokenizerMismatchError,
    );
    model.dispose();
  });

  it("a full disk", async () => {
    const { open: really } = fs.promises;
    vi.spyOn(fs.promises, "open").mockImplementation(async (...args) => {
      const handle = await really(...args);
      if (String(args[0]).includes(shards[0])) {
        handle.write = (async () => {
          throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
        }) as typeof handle.write;
      }
      return handle;
    });
    await expect(load()).rejects.toThrow(FileError);
    await expect(load()).rejects.toThrow(/the disk is full, ENOSPC/);
    vi.restoreAllMocks();
    expect(await damagedFiles()).toEqual([]);
    (await load()).model.dispose();
  });
});
