/** Files that are written a tensor at a time: the same bytes, atomically. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ArgumentError } from "../../src/core/errors.js";
import { openMeta } from "../../src/device/meta.js";
import {
  FileError,
  type HostTensor,
  openSafetensors,
  type ReadableTensor,
  saveSafetensors,
  writeSafetensors,
} from "../../src/formats/index.js";
import { BatchNorm2d, Conv2d, Sequential } from "../../src/nn/index.js";
import { devices } from "../devices.js";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "wattgrad-save-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** More than one piece of floats, and every dtype. */
const floats = Float32Array.from({ length: 2_500_001 }, (_, i) => Math.sin(i) * 2 ** ((i % 60) - 30));
const tensors = new Map<string, HostTensor>([
  ["mask", { dtype: "bool", shape: [3], data: Uint8Array.of(0, 1, 1) }],
  ["long", { dtype: "float32", shape: [2_500_001], data: floats }],
  ["exact", { dtype: "float32", shape: [2], data: Float64Array.of(0.1, -1e-46) }],
  ["count", { dtype: "int32", shape: [], data: Int32Array.of(-7) }],
  ["bytes", { dtype: "uint8", shape: [2, 1], data: Uint8Array.of(1, 255) }],
  ["signed", { dtype: "int8", shape: [2], data: Int8Array.of(-128, 127) }],
  ["empty", { dtype: "float32", shape: [0, 4], data: new Float32Array(0) }],
]);

/** The same tensors, whose values are asked for; notes in which order. */
function readable(asked: string[] = []): Map<string, ReadableTensor> {
  return new Map(
    [...tensors].map(([name, { dtype, shape, data }]) => [
      name,
      {
        dtype,
        shape,
        async data() {
          asked.push(name);
          return data;
        },
      },
    ]),
  );
}

/** A stream that collects, each write after a turn of the event loop. */
function collector() {
  const chunks: Uint8Array[] = [];
  let end = "";
  const stream = new WritableStream<Uint8Array>({
    async write(chunk) {
      await new Promise((resolve) => setTimeout(resolve));
      // What is written may be memory that is used again.
      chunks.push(chunk.slice());
    },
    close: () => {
      end = "closed";
    },
    abort: (reason) => {
      end = `aborted: ${reason}`;
    },
  });
  return { stream, bytes: () => Buffer.concat(chunks), chunks, end: () => end };
}

describe("saveSafetensors", () => {
  for (const floatType of ["F32", "F16", "BF16"] as const) {
    it(`writes the bytes of writeSafetensors, ${floatType}`, async () => {
      const want = Buffer.from(writeSafetensors(tensors, { format: "pt" }, { floatType }));
      const path = join(directory, `${floatType}.safetensors`);
      for (const given of [tensors, readable(), [...readable()]]) {
        await saveSafetensors(path, given, { format: "pt" }, { floatType });
        expect(Buffer.compare(readFileSync(path), want)).toBe(0);
      }
      const { stream, bytes, chunks, end } = collector();
      await saveSafetensors(stream, readable(), { format: "pt" }, { floatType });
      expect(Buffer.compare(bytes(), want)).toBe(0);
      expect(end()).toBe("closed");
      expect(stream.locked).toBe(false);
      expect(Math.max(...chunks.map(({ length }) => length))).toBeLessThanOrEqual(4 * 2 ** 20);
    });
  }

  it("asks for a tensor when the one before is written", async () => {
    const asked: string[] = [];
    const written: string[][] = [];
    const stream = new WritableStream({ write: () => void written.push([...asked]) }, { highWaterMark: 1 });
    await saveSafetensors(stream, readable(asked));
    expect(asked).toEqual(["empty", "exact", "long", "count", "signed", "bytes", "mask"]);
    // The header, then each with those before it: an empty tensor has no bytes, the long one has three pieces.
    expect(written.map((names) => names.at(-1))).toEqual([
      undefined,
      "exact",
      "long",
      "long",
      "long",
      "count",
      "signed",
      "bytes",
      "mask",
    ]);
  });

  it("leaves the old file and nothing else if a tensor cannot be read", async () => {
    const path = join(directory, "old.safetensors");
    writeFileSync(path, "old");
    const before = readdirSync(directory);
    const reason = new Error("the device was lost");
    const broken = readable().set("count", { dtype: "int32", shape: [], data: () => Promise.reject(reason) });
    await expect(saveSafetensors(path, broken)).rejects.toBe(reason);
    expect(readFileSync(path, "utf8")).toBe("old");
    expect(readdirSync(directory)).toEqual(before);
    const { stream, end } = collector();
    await expect(saveSafetensors(stream, broken)).rejects.toBe(reason);
    expect(end()).toBe("aborted: Error: the device was lost");
  });

  it("refuses what does not fit before anything is written, and values that do not when they come", async () => {
    const path = join(directory, "refused.safetensors");
    const refused: [Iterable<readonly [string, HostTensor | ReadableTensor]>, RegExp][] = [
      [[["a", { dtype: "float32", shape: [-1], data: async () => new Float32Array(1) }]], /"a": shape/],
      [
        [["a", { dtype: "float64" as never, shape: [1], data: async () => new Float32Array(1) }]],
        /a dtype of float64/,
      ],
      [
        [["a", { dtype: "float32", shape: [2], data: async () => new Float32Array(1) }]],
        /1 elements for shape \[2\]/,
      ],
      [
        [["a", { dtype: "int8", shape: [1], data: async () => new Float32Array(1) }]],
        /Float32Array for int8/,
      ],
      [[["a", { dtype: "bool", shape: [1], data: async () => Uint8Array.of(2) }]], /Uint8Array for bool/],
      [
        [
          ["a", tensors.get("mask")!],
          ["a", tensors.get("mask")!],
        ],
        /two tensors are named "a"/,
      ],
    ];
    for (const [given, message] of refused) {
      await expect(saveSafetensors(path, given)).rejects.toThrow(ArgumentError);
      await expect(saveSafetensors(path, given)).rejects.toThrow(message);
    }
    expect(readdirSync(directory)).not.toContain("refused.safetensors");
    await expect(saveSafetensors(7 as never, tensors)).rejects.toThrow(
      /the target is a path or a WritableStream/,
    );
    await expect(saveSafetensors(path, tensors, {}, { floatType: "F8" as never })).rejects.toThrow(
      ArgumentError,
    );
    await expect(saveSafetensors(join(directory, "no", "where"), tensors)).rejects.toThrow(FileError);
  });

  it("converts a file, in its own place as well", async () => {
    const path = join(directory, "converted.safetensors");
    await saveSafetensors(path, tensors, { note: "x" });
    const file = await openSafetensors(path);
    await saveSafetensors(path, file.tensors, file.metadata, { floatType: "F16" });
    await file.close();
    expect(
      Buffer.compare(readFileSync(path), writeSafetensors(tensors, { note: "x" }, { floatType: "F16" })),
    ).toBe(0);
  });

  it.each(devices)("a model of $label goes into a file and into another model", async ({ device }) => {
    const make = (on = device) =>
      new Sequential(new Conv2d(3, 4, 3, { device: on }), new BatchNorm2d(4, { device: on }));
    const model = make();
    const path = join(directory, "model.safetensors");
    await saveSafetensors(path, model.stateDict(), { format: "pt" });
    for (const copy of [make(), make(openMeta())]) {
      const file = await openSafetensors(path);
      await copy.loadStateDict(
        file.tensors,
        copy.parameters()[0].device === device ? {} : { assign: device },
      );
      await file.close();
      for (const [name, tensor] of model.stateDict()) {
        expect(await copy.stateDict().get(name)!.tolist()).toEqual(await tensor.tolist());
      }
    }
  });
});
