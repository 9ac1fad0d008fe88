/** Files read in parts, from disks and from servers of every kind: correct bytes, or a typed error with the cause. */
import {
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { open, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ArgumentError, FormatError } from "../../src/core/errors.js";
import {
  FileError,
  openSafetensors,
  openSource,
  readSafetensors,
  type SourceInput,
  writeSafetensors,
} from "../../src/formats/index.js";
import { openRangeServer, type RangeServer } from "./range_server.js";

let directory = "";
let server: RangeServer;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "wattgrad-sources-"));
  server = await openRangeServer();
});
afterAll(async () => {
  rmSync(directory, { recursive: true });
  await server.close();
});
beforeEach(() => server.behave({}));

/** Larger than what is read ahead. */
const bytes = Uint8Array.from({ length: 1_000_003 }, (_, i) => (i * 2654435761) >>> 24);
const model = writeSafetensors(
  [
    [
      "big",
      { dtype: "float32", shape: [100_000], data: Float32Array.from({ length: 100_000 }, (_, i) => i) },
    ],
    ["small", { dtype: "float32", shape: [2], data: Float32Array.of(1, 2) }],
    ["count", { dtype: "int32", shape: [], data: Int32Array.of(7) }],
  ],
  { format: "pt" },
);

function written(name: string, contents: Uint8Array): string {
  const path = join(directory, name);
  writeFileSync(path, contents);
  return path;
}

describe("sources of bytes", () => {
  const inputs: Record<string, () => SourceInput | Promise<SourceInput>> = {
    bytes: () => bytes,
    "an ArrayBuffer": () => bytes.slice().buffer,
    "a Blob": () => new Blob([bytes]),
    "a File": () => new File([bytes], "weights.bin"),
    "a path": () => written("a path.bin", bytes),
    "a file: URL": () => pathToFileURL(written("a file #1 %41.bin", bytes)),
    "a FileHandle": () => open(written("handle.bin", bytes)),
    "an http: URL": () => {
      server.files.set("source.bin", bytes);
      return server.url("source.bin");
    },
  };
  it.each(Object.keys(inputs))("%s gives the bytes of any range", async (name) => {
    const input = await inputs[name]();
    const source = await openSource(input);
    expect(source.size).toBe(bytes.length);
    const ranges = [
      [0, 8],
      [8, 1000],
      [999_990, 13],
      [262_140, 10],
      [5, 600_000],
      [1, 0],
      [bytes.length, 0],
      [0, bytes.length],
    ];
    for (const [offset, length] of ranges) {
      const got = await source.read(offset, length);
      expect(Buffer.compare(got, bytes.subarray(offset, offset + length)), `${offset}+${length}`).toBe(0);
    }
    for (const [offset, length] of [
      [0, bytes.length + 1],
      [-1, 2],
      [bytes.length, 1],
      [0.5, 1],
      [0, Number.NaN],
    ]) {
      await expect(source.read(offset, length)).rejects.toThrow(FileError);
    }
    const reason = new Error("enough");
    await expect(source.read(0, 4, AbortSignal.abort(reason))).rejects.toBe(reason);
    await source.close();
    // The caller's handle is the caller's to close.
    if (name === "a FileHandle") await (input as Awaited<ReturnType<typeof open>>).close();
  });

  it("files that cannot be opened say why", async () => {
    await expect(openSource(join(directory, "missing"))).rejects.toThrow(
      /missing: it does not exist, ENOENT/,
    );
    await expect(openSource(directory)).rejects.toThrow(/no plain file/);
    await expect(openSource(7 as never)).rejects.toThrow(ArgumentError);
    await expect(openSource("x", { signall: 1 } as never)).rejects.toThrow(/signal/);
    await expect(openSource(server.url("missing"))).rejects.toMatchObject({ code: "FILE", status: 404 });
    await expect(openSource("http://127.0.0.1:1/x")).rejects.toThrow(
      /cannot fetch http:.*(ECONNREFUSED|bad port)/,
    );
  });

  it("a file that is cut while it is open is an error", async () => {
    const path = written("cut.bin", bytes);
    const source = await openSource(path);
    truncateSync(path, 100);
    await expect(source.read(50, 100)).rejects.toThrow(/ends at byte 100 now, of 1000003/);
    await source.close();
    await expect(source.read(0, 1)).rejects.toThrow(/closed/);
  });

  it.runIf(process.platform === "linux")("no descriptor stays open", async () => {
    const path = written("descriptors.safetensors", model);
    const descriptors = async () => (await readdir("/proc/self/fd")).length;
    const before = await descriptors();
    const file = await openSafetensors(path);
    await file.close();
    await expect(openSafetensors(written("damaged.safetensors", model.subarray(0, 40)))).rejects.toThrow(
      FormatError,
    );
    expect(await descriptors()).toBe(before);
  });
});

it("a file of 5 GB opens and one tensor of it is read", async () => {
  const path = join(directory, "sparse.safetensors");
  const size = 1_250_000_000;
  const header = JSON.stringify({
    first: { dtype: "BF16", shape: [size], data_offsets: [0, 2 * size] },
    second: { dtype: "BF16", shape: [size], data_offsets: [2 * size, 4 * size] },
    last: { dtype: "BF16", shape: [2, 2], data_offsets: [4 * size, 4 * size + 8] },
  });
  const start = Buffer.alloc(8 + header.length);
  start.writeBigUInt64LE(BigInt(header.length));
  start.write(header, 8);
  const end = Buffer.from(Uint16Array.of(0x3f80, 0x4000, 0xc040, 0x7f80).buffer);
  const descriptor = openSync(path, "w");
  writeSync(descriptor, start);
  // The hole between takes no disk.
  writeSync(descriptor, end, 0, end.length, start.length + 4 * size);
  const { closeSync } = await import("node:fs");
  closeSync(descriptor);
  const before = process.memoryUsage().arrayBuffers;
  const file = await openSafetensors(path);
  expect([...file.tensors.keys()]).toEqual(["first", "second", "last"]);
  expect(file.tensors.get("second")!.bytes).toBe(2 * size);
  const last = await file.tensor("last");
  expect(last).toEqual({
    dtype: "float32",
    shape: [2, 2],
    data: Float32Array.of(1, 2, -3, Number.POSITIVE_INFINITY),
  });
  // Beyond 2 GiB and 4 GiB, a piece at a time.
  for await (const piece of file.tensors.get("second")!.pieces()) {
    expect(piece.length).toBeLessThanOrEqual(2 ** 22);
    expect(piece[0]).toBe(0);
    break;
  }
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 2 ** 20);
  await file.close();
});

describe("servers", () => {
  const url = () => server.url("model.safetensors");
  beforeEach(() => {
    server.files.set("model.safetensors", model);
  });
  const whole = async (options = {}) => {
    const file = await openSafetensors(url(), options);
    return Object.fromEntries(
      await Promise.all([...file.tensors.keys()].map(async (name) => [name, (await file.tensor(name)).data])),
    );
  };
  const wanted = Object.fromEntries(
    [...readSafetensors(model).tensors].map(([name, { data }]) => [name, data]),
  );

  it("that honour ranges are asked for the beginning and for what is read", async () => {
    const file = await openSafetensors(url());
    expect(server.requests).toEqual(["/model.safetensors bytes=0-262143"]);
    expect((await file.tensor("small")).data).toEqual(Float32Array.of(1, 2));
    expect((await file.tensor("count")).data).toEqual(Int32Array.of(7));
    // Two small tensors at the end are one request.
    expect(server.requests.length).toBe(2);
    expect((await file.tensor("big")).data).toEqual(wanted.big);
    expect(server.requests.length).toBe(3);
  });

  const good: Record<string, [Parameters<RangeServer["behave"]>[0], number?]> = {
    "redirect, to addresses that expire": [{ signature: 1 }],
    "ignore ranges": [{ whole: true }],
    "ignore ranges and do not say how long a file is": [{ whole: true, chunked: true }],
    "have no ETag": [{ without: ["etag"] }],
    "have neither ETag nor date": [{ without: ["etag", "last-modified"] }],
    "are slow": [{ delay: 50 }],
  };
  it.each(Object.keys(good))("that %s give the file", async (name) => {
    server.behave(...good[name]);
    expect(await whole()).toEqual(wanted);
  });

  it("whose addresses expire are asked again from the start", async () => {
    server.behave({ signature: 1 });
    const file = await openSafetensors(url());
    expect((await file.tensor("big")).data).toEqual(wanted.big);
    const paths = () => server.requests.map((request) => request.split(" ")[0]);
    const [first, moved] = ["/model.safetensors", "/moved/model.safetensors?1"];
    expect(paths()).toEqual([first, moved, moved]);
    server.behave({ signature: 2 });
    expect((await file.tensor("big")).data).toEqual(wanted.big);
    expect((await file.tensor("big")).data).toEqual(wanted.big);
    const renewed = "/moved/model.safetensors?2";
    expect(paths()).toEqual([moved, first, renewed, renewed]);
  });

  const bad: Record<string, [Parameters<RangeServer["behave"]>[0], number, RegExp]> = {
    "answer 404": [{ status: 404 }, 0, /HTTP status 404/],
    "answer 429": [{ status: 429, headers: { "retry-after": "30" } }, 0, /HTTP status 429.*Retry-After 30/],
    "answer 500": [{ status: 500 }, 0, /HTTP status 500/],
    "answer 500 later": [{ status: 500 }, 1, /HTTP status 500/],
    "answer with nothing": [{ status: 204 }, 0, /HTTP status 204/],
    "cut an answer": [{ cutAfter: 100 }, 0, /broke off|bytes of/],
    "cut an answer later": [{ cutAfter: 100_000 }, 1, /broke off|bytes of/],
    "cut a whole file": [{ whole: true, cutAfter: 1000 }, 0, /broke off|bytes of/],
    "send less than they say": [{ extra: -7, chunked: true }, 1, /sends \d+ bytes of/],
    "send more than they say": [{ extra: 7, chunked: true }, 1, /sends more than/],
    "send another range": [{ shifted: 8 }, 1, /sends bytes/],
    "send another range at once": [{ shifted: 8 }, 0, /sends bytes/],
    "send whole files later": [{ whole: true }, 1, /the whole file/],
    "do not say which range": [{ without: ["content-range"] }, 0, /of how many bytes.*Content-Range/],
    "do not say which range later": [{ without: ["content-range"] }, 1, /unknown range/],
    "do not know how long a file is": [
      { headers: { "content-range": "bytes 0-262143/*" } },
      0,
      /how many bytes/,
    ],
    "say nonsense": [{ headers: { "content-range": "bytes 5-1/x" } }, 0, /how many bytes/],
    "have another version": [{ headers: { etag: '"2"' } }, 1, /has changed since it was opened/],
    "have a later version": [
      { without: ["etag"], headers: { "last-modified": "Mon, 30 Nov 2026 09:00:00 GMT" } },
      1,
      /has changed since it was opened/,
    ],
    "have a longer version": [
      { headers: { "content-range": "bytes 0-1/9999999" } },
      1,
      /has changed since it was opened/,
    ],
  };
  it.each(Object.keys(bad))("that %s are a FileError", async (name) => {
    const [behaviour, from, message] = bad[name];
    server.behave(behaviour, from);
    const error = await whole().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(FileError);
    expect((error as FileError).message).toMatch(message);
    expect((error as FileError).message).toContain("/model.safetensors");
    if (behaviour.status !== undefined) expect((error as FileError).status).toBe(behaviour.status);
  });

  it.each([
    ["and say how long it is", {}],
    ["and do not say how long it is", { chunked: true }],
  ])("that send whole files above the limit are an error that says so, %s", async (_, behaviour) => {
    server.behave({ whole: true, ...behaviour });
    await expect(whole({ downloadLimit: 1000 })).rejects.toThrow(
      /whole files only.*1000 allowed.*downloadLimit/,
    );
    await expect(whole({ downloadLimit: 0 })).rejects.toThrow(/whole files only/);
  });

  it("empty files are no safetensors, and no crash", async () => {
    server.files.set("model.safetensors", new Uint8Array(0));
    await expect(whole()).rejects.toThrow(/0 bytes are too few/);
    server.behave({ whole: true });
    await expect(whole()).rejects.toThrow(/0 bytes are too few/);
  });

  it("an abort ends opening and reading", async () => {
    const reason = new Error("the page was left");
    const controller = new AbortController();
    server.behave({ delay: 5000 });
    const opening = openSafetensors(url(), { signal: controller.signal });
    setTimeout(() => controller.abort(reason), 20);
    await expect(opening).rejects.toBe(reason);

    const second = new AbortController();
    server.behave({ delay: 5000 }, 1);
    const file = await openSafetensors(url(), { signal: second.signal });
    const reading = file.tensor("big");
    setTimeout(() => second.abort(reason), 20);
    await expect(reading).rejects.toBe(reason);
    server.behave({ delay: 5000 });
    await expect(openSafetensors(url(), { signal: AbortSignal.timeout(20) })).rejects.toMatchObject({
      name: "TimeoutError",
    });
  });
});

describe("files of an index", () => {
  const f32 = (...values: number[]) =>
    ({ dtype: "float32", shape: [values.length], data: Float32Array.from(values) }) as const;
  const one = writeSafetensors(
    [
      ["b", f32(1)],
      ["a", f32(2, 3)],
    ],
    { format: "pt", note: "first" },
  );
  const two = writeSafetensors([["c", f32(4)]], { format: "pt", note: "second", more: "x" });
  const index = (map: Record<string, string>) =>
    new TextEncoder().encode(
      JSON.stringify({ metadata: { total_size: 16, nested: [{ a: null }] }, weight_map: map }),
    );
  const map = { a: "m-1 of 2.safetensors", c: "m-2.safetensors", b: "m-1 of 2.safetensors" };
  const indexName = "model.safetensors.index.json";

  function place(name: string, files: Record<string, Uint8Array>): string {
    const path = join(directory, name);
    mkdirSync(path);
    for (const [file, contents] of Object.entries(files)) writeFileSync(join(path, file), contents);
    return join(path, indexName);
  }
  const right = { [indexName]: index(map), "m-1 of 2.safetensors": one, "m-2.safetensors": two };

  it("are read as one, from a path, a URL, or whatever holds them", async () => {
    const path = place("index", right);
    for (const [name, contents] of Object.entries(right)) server.files.set(name, contents);
    const opened = [
      await openSafetensors(path),
      await openSafetensors(pathToFileURL(path)),
      await openSafetensors(server.url(indexName)),
      await openSafetensors(new File([right[indexName]], indexName), {
        shard: (name) => right[name as keyof typeof right],
      }),
    ];
    for (const file of opened) {
      expect([...file.tensors.keys()]).toEqual(["a", "b", "c"]);
      expect([...(await file.tensor("c")).data]).toEqual([4]);
      expect([...(await file.tensor("a")).data]).toEqual([2, 3]);
      expect({ ...file.metadata }).toEqual({ format: "pt", note: "first", more: "x" });
      await expect(file.tensor("bb")).rejects.toThrow(/no tensor "bb"/);
      await file.close();
    }
  });

  const wrong: Record<string, [Record<string, Uint8Array>, RegExp, unknown]> = {
    "a file is missing": [
      { ...right, "m-2.safetensors": undefined! },
      /m-2\.safetensors: it does not exist/,
      FileError,
    ],
    "a tensor is in another file": [
      { ...right, [indexName]: index({ ...map, c: map.a, a: map.c }) },
      /"a" should be in m-2.safetensors, but is in m-1/,
      FormatError,
    ],
    "a tensor is in no file": [
      { ...right, [indexName]: index({ ...map, d: map.c }) },
      /"d" should be in m-2.safetensors, which does not hold it/,
      FormatError,
    ],
    "a tensor is in two files": [
      {
        ...right,
        "m-2.safetensors": writeSafetensors([
          ["c", f32(4)],
          ["a", f32(2, 3)],
        ]),
      },
      /"a" is in m-1 of 2.safetensors and in m-2.safetensors/,
      FormatError,
    ],
    "a tensor is in a file only": [
      { ...right, [indexName]: index({ a: map.a, c: map.c }) },
      /holds "b", which the index lacks/,
      FormatError,
    ],
    "a file is damaged": [
      { ...right, "m-2.safetensors": two.subarray(0, 50) },
      /m-2.safetensors: header of/,
      FormatError,
    ],
    "it has no map": [
      { [indexName]: new TextEncoder().encode('{"metadata":{}}') },
      /no weight_map/,
      FormatError,
    ],
    "it names a tensor twice": [
      { ...right, [indexName]: new TextEncoder().encode(`{"weight_map":{"a":"x","a":"y"}}`) },
      /duplicate key "a" in weight_map/,
      FormatError,
    ],
    "it is no JSON": [{ [indexName]: new TextEncoder().encode("weights") }, /bad index at 0/, FormatError],
  };
  it.each(Object.keys(wrong))("are a typed error if %s", async (name) => {
    const [files, message, kind] = wrong[name];
    const present = Object.fromEntries(
      Object.entries(files).filter(([, contents]) => contents !== undefined),
    );
    const path = place(`wrong ${name}`, present);
    const error = await openSafetensors(path).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(kind);
    expect((error as Error).message).toMatch(message);
    expect(readdirSync(join(path, "..")).length).toBe(Object.keys(present).length);
  });

  const names = [
    "../x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "..",
    ".",
    "",
    "C:x",
    "http://x/y",
    "a?b",
    "a#b",
    "%2e%2e%2fx",
    "a\u0000b",
  ];
  it.each(names)("are never outside the index's directory: %j", async (name) => {
    const file = new File([index({ a: name })], indexName);
    let asked = 0;
    const opening = openSafetensors(file, {
      shard: () => {
        asked++;
        return one;
      },
    });
    await expect(opening).rejects.toThrow(/no file beside the index/);
    expect(asked).toBe(0);
  });

  it("need somebody who knows them", async () => {
    await expect(openSafetensors(new File([right[indexName]], indexName))).rejects.toThrow(/option shard/);
  });
});
