/** GGUF: values bit for bit as the Python package gguf dequantizes them (gguf/make.py), damaged files, rotary order. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { ArgumentError, FormatError, ShapeError } from "../../src/core/errors.js";
import { openGguf, openSource, undoRotaryPermutation } from "../../src/formats/index.js";
import { realModel } from "../real_models.js";

const folder = join(fileURLToPath(new URL(".", import.meta.url)), "gguf");
const types = readFileSync(join(folder, "types.gguf"));
/** The first byte that differs, -1 if none does. */
function difference(a: ArrayBufferView, b: ArrayBufferView): number {
  const [left, right] = [a, b].map((view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
  return left.length === right.length ? left.findIndex((byte, i) => byte !== right[i]) : left.length;
}

describe("values", async () => {
  const file = await openGguf(join(folder, "types.gguf"));
  const quantized = [...file.tensors].filter(([name]) => file.tensors.has(`${name}.values`));

  test("every type is in the file", () => {
    expect(quantized.map(([name]) => name).sort()).toEqual(
      ["BF16", "F16", "F32", "Q4_0", "Q4_1", "Q4_K", "Q5_0", "Q5_1", "Q5_K", "Q6_K", "Q8_0"].sort(),
    );
  });

  test.each(quantized)("%s", async (name, entry) => {
    const expected = await file.tensor(`${name}.values`);
    expect(entry.stored).toBe(name);
    expect(entry.dtype).toBe("float32");
    expect(entry.shape).toEqual(expected.shape);
    expect(difference(await entry.data(), expected.data)).toBe(-1);
  });

  test("integers", async () => {
    expect((await file.tensor("bytes")).data).toEqual(Int8Array.of(-128, 0, 127));
    expect(await file.tensor("words")).toEqual({
      dtype: "int32",
      shape: [2, 1],
      data: Int32Array.of(1, -(2 ** 31)),
    });
  });

  test("a name that is not there gets the nearest one", async () => {
    await expect(file.tensor("byte")).rejects.toThrow(ArgumentError);
    await expect(file.tensor("byte")).rejects.toThrow(/did you mean "bytes"/);
  });
});

test("metadata of every type", async () => {
  const { metadata, version } = await openGguf(types);
  expect(version).toBe(3);
  const some = Object.fromEntries(
    [...metadata].filter(([key]) => /^(general|tokenizer|llama.rope)/.test(key)),
  );
  expect(some).toEqual({
    "general.architecture": "llama",
    "general.flag": true,
    "general.large": 2n ** 60n + 1n,
    "general.negative": -5,
    "general.double": 0.1,
    "general.numbers": Int32Array.of(1, -2, 3),
    "general.floats": Float32Array.of(0.5, 1.5),
    "llama.rope.freq_base": 10_000,
    "tokenizer.ggml.tokens": ["<s>", "ü", "日本", ""],
  });
});

test("the rows of queries and keys in the order of Hugging Face files", async () => {
  const { tensors } = await openGguf(types);
  const stored = tensors.get("blk.0.attn_q.weight")!;
  const tensor = undoRotaryPermutation(stored, 2);
  expect(await tensor.data()).toEqual(Float32Array.from({ length: 24 }, (_, i) => i));
  const pieces: number[] = [];
  for await (const piece of tensor.pieces()) pieces.push(...piece);
  expect(pieces).toEqual(Array.from({ length: 24 }, (_, i) => i));
  expect(() => undoRotaryPermutation(stored, 3)).toThrow(ShapeError);
  expect(() => undoRotaryPermutation(stored, 0)).toThrow(ShapeError);
});

test("only the header is read, and a tensor's own bytes", async () => {
  const reads: [number, number][] = [];
  const size = 2 ** 40;
  const inner = await openSource(types);
  const file = await openGguf({
    ...inner,
    // A header of which no part says how long it is, in front of a terabyte.
    size,
    async read(offset: number, length: number) {
      reads.push([offset, length]);
      return inner.read(offset, Math.min(length, types.length - offset));
    },
  });
  const header = reads.length;
  expect(reads.every(([offset]) => offset === 0)).toBe(true);
  await file.tensor("bytes");
  expect(reads.slice(header).map(([, length]) => length)).toEqual([3]);
});

describe("damaged files", () => {
  const at = (edit: (bytes: Uint8Array, view: DataView) => void) => {
    const bytes = new Uint8Array(types);
    edit(bytes, new DataView(bytes.buffer));
    return openGguf(bytes);
  };
  const place = (text: string) => types.indexOf(text);

  test.each<[string, RegExp, (bytes: Uint8Array, view: DataView) => void]>([
    ["another format", /does not begin with "GGUF"/, (bytes) => bytes.set([1])],
    ["version 1", /version 1; 2 and 3 are read/, (_, view) => view.setUint32(4, 1, true)],
    ["big-endian", /big-endian/, (_, view) => view.setUint32(4, 3)],
    ["too many tensors", /entries of 24 bytes/, (_, view) => view.setBigUint64(8, 2n ** 40n, true)],
    ["a negative count", /a size of 1844/, (_, view) => view.setBigInt64(16, -1n, true)],
    [
      "a type of values that is unknown",
      /a value of type 77/,
      (_, view) => view.setUint32(place("general.flag") + 12, 77, true),
    ],
    ["a boolean of 2", /a boolean of 2/, (bytes) => bytes.set([2], place("general.flag") + 16)],
    ["invalid UTF-8", /UTF-8/, (bytes) => bytes.set([0xff], place("日本"))],
    [
      "one key twice",
      /"general.double" appears twice/,
      (bytes) => bytes.set(Buffer.from("general.double"), place("general.floats")),
    ],
    [
      "a type of tensors that is unknown",
      /type 4, which is not read; F32/,
      (_, view) => view.setUint32(place("\x04\x00\x00\x00\x00\x00\x00\x00Q4_0") + 8 + 4 + 4 + 16, 4, true),
    ],
    [
      "a tensor behind the end",
      /ends at byte/,
      (_, view) =>
        view.setBigUint64(
          place("\x05\x00\x00\x00\x00\x00\x00\x00words") + 8 + 5 + 4 + 16 + 4,
          2n ** 30n,
          true,
        ),
    ],
    [
      "tensors that overlap",
      /overlaps/,
      (_, view) =>
        view.setBigUint64(place("\x05\x00\x00\x00\x00\x00\x00\x00words") + 8 + 5 + 4 + 16 + 4, 0n, true),
    ],
    [
      "a place that is not aligned",
      /not aligned/,
      (_, view) =>
        view.setBigUint64(place("\x05\x00\x00\x00\x00\x00\x00\x00words") + 8 + 5 + 4 + 16 + 4, 3n, true),
    ],
    [
      "rows that are no whole blocks",
      /rows of 33, Q4_0 needs multiples of 32/,
      (_, view) => view.setBigUint64(place("\x04\x00\x00\x00\x00\x00\x00\x00Q4_0") + 8 + 4 + 4, 33n, true),
    ],
    [
      "a size that overflows",
      /overflows/,
      (_, view) =>
        view.setBigUint64(place("\x04\x00\x00\x00\x00\x00\x00\x00Q4_0") + 8 + 4 + 4 + 8, 2n ** 50n, true),
    ],
    [
      "rank 5",
      /rank 5/,
      (_, view) => view.setUint32(place("\x04\x00\x00\x00\x00\x00\x00\x00Q4_0") + 8 + 4, 5, true),
    ],
  ])("%s", async (_, message, edit) => {
    const opening = at(edit);
    await expect(opening).rejects.toThrow(FormatError);
    await expect(opening).rejects.toThrow(message);
  });

  test("cut anywhere", async () => {
    for (let length = 0; length < types.length; length += 97) {
      await expect(openGguf(types.subarray(0, length)), `${length}`).rejects.toThrow(FormatError);
    }
  });
});

const smollm2 = realModel("smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf");
test.skipIf(smollm2.missing)(
  `SmolLM2-135M-Instruct opens and has gguf's values ${smollm2.missing ?? ""}`,
  async () => {
    const file = await openGguf(smollm2.path);
    expect(file.tensors.size).toBe(272);
    expect(file.metadata.get("general.architecture")).toBe("llama");
    expect((file.metadata.get("tokenizer.ggml.tokens") as string[]).length).toBe(49_152);
    const expected = {
      "token_embd.weight": [
        "Q8_0",
        [49_152, 576],
        "3fd491c8066dd9dc1a2bf6796701526c82817d95c0ecabacdef3013c2b8bbbaa",
      ],
      "blk.0.attn_q.weight": [
        "Q4_1",
        [576, 576],
        "aa74111ad24c3624a20374d2026fd1f50bfe2520252e3c9aef4a666a28593cc8",
      ],
      "blk.29.ffn_down.weight": [
        "Q4_1",
        [576, 1536],
        "c19605745425a11e704e305ce3d27b632c406195d39eb3377e9cfb140ac643d1",
      ],
    };
    for (const [name, [stored, shape, sha256]] of Object.entries(expected)) {
      const entry = file.tensors.get(name)!;
      expect([entry.stored, entry.shape]).toEqual([stored, shape]);
      const hash = createHash("sha256");
      for await (const piece of entry.pieces()) hash.update(piece);
      expect(hash.digest("hex"), name).toBe(sha256);
    }
    await file.close();
  },
);
