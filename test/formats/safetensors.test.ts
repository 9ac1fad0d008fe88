import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ArgumentError, FormatError } from "../../src/core/errors.js";
import type { HostTensor } from "../../src/formats/host.js";
import { readSafetensors } from "../../src/formats/safetensors.js";
import { writeSafetensors } from "../../src/formats/safetensors_write.js";

/** A file out of a header text and data bytes. */
function file(header: string | Uint8Array, data: ArrayLike<number> = [], declared?: bigint): Uint8Array {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, declared ?? BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return bytes;
}

function entry(name: string, dtype: string, shape: number[], begin: number, end: number): string {
  return `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape}],"data_offsets":[${begin},${end}]}`;
}

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

const name = fc.string({ unit: "grapheme", maxLength: 12 }).filter((text) => text !== "__metadata__");
const shape = fc.array(fc.nat({ max: 4 }), { maxLength: 4 });
const tensor: fc.Arbitrary<HostTensor> = fc
  .tuple(fc.constantFrom("float32", "int32", "uint8", "int8", "bool"), shape, fc.infiniteStream(fc.integer()))
  .map(([dtype, shape, values]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const list = Array.from({ length: size }, () => values.next().value as number);
    if (dtype === "float32") return { dtype, shape, data: new Float32Array(Int32Array.from(list).buffer) };
    if (dtype === "int32") return { dtype, shape, data: Int32Array.from(list) };
    if (dtype === "int8") return { dtype, shape, data: Int8Array.from(list) };
    if (dtype === "uint8") return { dtype, shape, data: Uint8Array.from(list) };
    return { dtype: "bool", shape, data: Uint8Array.from(list, (value) => value & 1) };
  });
const tensorMap = fc
  .uniqueArray(fc.tuple(name, tensor), { maxLength: 6, selector: ([key]) => key })
  .map((pairs) => new Map(pairs));

test("what is written is read back bit for bit, and written again to the same bytes", () => {
  fc.assert(
    fc.property(tensorMap, fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 }), (tensors, metadata) => {
      const bytes = writeSafetensors(tensors, metadata);
      const read = readSafetensors(bytes);
      expect({ ...read.metadata }).toEqual({ ...metadata });
      expect([...read.tensors.keys()].sort()).toEqual([...tensors.keys()].sort());
      for (const [key, { dtype, shape, data }] of tensors) {
        const back = read.tensors.get(key)!;
        expect([back.dtype, back.shape, back.data.constructor]).toEqual([dtype, shape, data.constructor]);
        expect(bytesOf(back.data)).toEqual(bytesOf(data));
      }
      expect(writeSafetensors(read.tensors, read.metadata)).toEqual(bytes);
    }),
  );
});

test("the data begins at a multiple of 8; wide dtypes come first, then names in code point order", () => {
  const f32 = { dtype: "float32", shape: [1], data: Float32Array.of(1) } as const;
  const u8 = { dtype: "uint8", shape: [3], data: Uint8Array.of(1, 2, 3) } as const;
  const i32 = { dtype: "int32", shape: [1], data: Int32Array.of(7) } as const;
  const bytes = writeSafetensors([
    ["a", u8],
    ["😀", f32],
    ["z", f32],
    ["\uffee", f32],
    ["b", i32],
  ]);
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  expect(length % 8).toBe(0);
  expect([...readSafetensors(bytes).tensors.keys()]).toEqual(["z", "\uffee", "😀", "b", "a"]);
});

test("writing refuses what the format cannot hold", () => {
  const ok = { dtype: "float32", shape: [1], data: Float32Array.of(1) } as const;
  const bad: [string, HostTensor][][] = [
    [["__metadata__", ok]],
    [["\ud800", ok]],
    [
      ["a", ok],
      ["a", ok],
    ],
    [["a", { ...ok, shape: [2] }]],
    [["a", { ...ok, dtype: "int32" }]],
    [["a", { dtype: "bool", shape: [1], data: Uint8Array.of(2) }]],
  ];
  for (const tensors of bad) expect(() => writeSafetensors(tensors)).toThrow(ArgumentError);
  expect(() => writeSafetensors([], { key: "\udc00" })).toThrow(ArgumentError);
});

test("floatType F16 and BF16 store half the bytes and round to nearest", () => {
  const tensors = new Map([
    ["w", { dtype: "float32", shape: [3], data: Float32Array.of(1, 0.1, 65520) } as const],
  ]);
  const half = readSafetensors(writeSafetensors(tensors, {}, { floatType: "F16" })).tensors.get("w")!;
  expect([...half.data]).toEqual([1, 0.0999755859375, Number.POSITIVE_INFINITY]);
  const bfloat = readSafetensors(writeSafetensors(tensors, {}, { floatType: "BF16" })).tensors.get("w")!;
  expect([...bfloat.data]).toEqual([1, 0.10009765625, 65536]);
});

describe("stored dtypes that are converted", () => {
  const one = (dtype: string, data: ArrayBufferView) =>
    readSafetensors(
      file(`{${entry("w", dtype, [data.byteLength / size(dtype)], 0, data.byteLength)}}`, bytesOf(data)),
    ).tensors.get("w")!;
  const size = (dtype: string) => Number(/\d+$/.exec(dtype)?.[0] ?? 8) / 8;

  test("F64 is rounded to float32, I64 becomes int32", () => {
    const floats = one("F64", Float64Array.of(0.1, -1e300 * 0, Number.POSITIVE_INFINITY, Number.NaN));
    expect(floats.dtype).toBe("float32");
    expect([...floats.data]).toEqual([Math.fround(0.1), -0, Number.POSITIVE_INFINITY, Number.NaN]);
    const integers = one("I64", BigInt64Array.of(-(2n ** 31n), 2n ** 31n - 1n));
    expect(integers).toEqual({ dtype: "int32", shape: [2], data: Int32Array.of(-(2 ** 31), 2 ** 31 - 1) });
  });

  test("a value that does not fit is an error naming the tensor and the element", () => {
    expect(() => one("I64", BigInt64Array.of(0n, 2n ** 31n))).toThrow(
      /"w": 2147483648 at element 1 .* int32/,
    );
    expect(() => one("F64", Float64Array.of(1e39))).toThrow(/"w": 1e\+39 at element 0 .* float32/);
    expect(() => one("BOOL", Uint8Array.of(0, 1, 2))).toThrow(/"w": 2 at element 2/);
    expect(() => one("C64", new BigInt64Array(1))).toThrow(/"w": dtype "C64" is not supported.*F8_E4M3/);
  });
});

describe("header tricks", () => {
  const f = (begin: number, end: number, key = "a") => entry(key, "U8", [end - begin], begin, end);
  const cases: Record<string, [Uint8Array, RegExp]> = {
    "empty file": [new Uint8Array(0), /too few/],
    "header longer than the file": [file("{}", [], 3n), /header of 3 bytes in a file of 10/],
    "header above the cap": [file("{}", [], 100_000_001n), /more than the 100000000 allowed/],
    "length near 2^64": [file("{}", [], 2n ** 64n - 1n), /more than/],
    "not beginning with {": [file(" {}"), /does not begin with "{"/],
    "byte order mark": [file("\ufeff{}"), /does not begin/],
    "empty header": [file(""), /does not begin/],
    "an array": [file("[]"), /does not begin/],
    "invalid UTF-8": [file(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), /UTF-8/],
    "text behind the header": [file("{} x"), /follows/],
    "trailing comma": [file(`{${f(0, 1)},}`, [1]), /expected/],
    overlap: [file(`{${f(0, 2)},${f(1, 3, "b")}}`, [1, 2, 3]), /"b".*overlaps/],
    "equal ranges": [file(`{${f(0, 2)},${f(0, 2, "b")}}`, [1, 2]), /overlaps/],
    hole: [file(`{${f(0, 1)},${f(2, 3, "b")}}`, [1, 2, 3]), /"b".*hole/],
    "hole at the start": [file(`{${f(1, 2)}}`, [1, 2]), /hole/],
    "bytes left over": [file(`{${f(0, 1)}}`, [1, 2]), /take 1 bytes, the file has 2/],
    "data missing": [file(`{${f(0, 3)}}`, [1]), /take 3 bytes, the file has 1/],
    "data without tensors": [file("{}", [1]), /take 0 bytes/],
    "offsets backwards": [file(`{${entry("a", "U8", [1], 1, 0)}}`, [1]), /data_offsets \[1, 0\]/],
    "size and offsets differ": [file(`{${entry("a", "F32", [2], 0, 4)}}`, [0, 0, 0, 0]), /8 bytes of shape/],
    "overflowing product": [file(`{${entry("a", "F32", [2 ** 30, 2 ** 30, 0], 0, 0)}}`), /overflows/],
    "huge extent": [file('{"a":{"dtype":"U8","shape":[1e9],"data_offsets":[0,0]}}'), /integer/],
    "extent above 2^53": [
      file('{"a":{"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,0]}}'),
      /below 2\^53/,
    ],
    "negative extent": [file(`{${entry("a", "U8", [-1], 0, 0)}}`), /non-negative/],
    fraction: [file('{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}', [0]), /integer/],
    "leading zero": [file('{"a":{"dtype":"U8","shape":[01],"data_offsets":[0,1]}}', [0]), /expected/],
    "three offsets": [
      file('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}', [0]),
      /two data_offsets/,
    ],
    "missing shape": [file('{"a":{"dtype":"U8","data_offsets":[0,1]}}', [0]), /needs dtype, shape/],
    "unknown key": [
      file('{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1],"x":0}}', [0]),
      /unknown key "x"/,
    ],
    "entry that is no object": [file('{"a":1}'), /expected/],
    "duplicate tensor": [file(`{${f(0, 1)},${f(1, 2)}}`, [1, 2]), /duplicate key "a"/],
    "duplicate by an escape": [
      file(`{${f(0, 1)},${f(1, 2).replace('"a"', '"\\u0061"')}}`, [1, 2]),
      /duplicate/,
    ],
    "duplicate in an entry": [
      file('{"a":{"dtype":"U8","dtype":"I8","shape":[],"data_offsets":[0,1]}}', [0]),
      /duplicate key "dtype"/,
    ],
    "duplicate metadata": [file('{"__metadata__":{},"__metadata__":{}}'), /duplicate/],
    "duplicate in the metadata": [file('{"__metadata__":{"a":"1","a":"2"}}'), /duplicate key "a"/],
    "metadata that is no string": [file('{"__metadata__":{"a":1}}'), /expected/],
    "lone surrogate": [file('{"\\ud800":{}}'), /surrogate/],
    "raw control character": [file('{"a\u0001":{}}'), /not valid JSON/],
    "bad escape": [file('{"\\x":{}}'), /not valid JSON/],
    "string without end": [file('{"a'), /does not end/],
    "backslash at the end": [file('{"a\\'), /does not end/],
    "deep nesting": [file(`{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`), /expected/],
    "deep nesting in a shape": [file(`{"a":{"shape":${"[".repeat(100_000)}`), /integer/],
  };
  for (const [title, [bytes, message]] of Object.entries(cases)) {
    test(title, () => {
      expect(() => readSafetensors(bytes)).toThrow(FormatError);
      expect(() => readSafetensors(bytes)).toThrow(message);
    });
  }

  test("__proto__ is a name like any other", () => {
    const header = `{"__metadata__":{"__proto__":"x","constructor":"y"},${f(0, 1, "__proto__")},${f(1, 2, "constructor")}}`;
    const { tensors, metadata } = readSafetensors(file(header, [5, 6]));
    expect(tensors.get("__proto__")!.data).toEqual(Uint8Array.of(5));
    expect(Object.keys(metadata)).toEqual(["__proto__", "constructor"]);
    expect(Object.getPrototypeOf(metadata)).toBeNull();
    expect(({} as Record<string, unknown>).x).toBeUndefined();
    expect(readSafetensors(writeSafetensors(tensors, metadata)).metadata).toEqual(metadata);
  });

  test("white space, empty tensors, scalars and any order of offsets are fine", () => {
    const header = `{ ${f(1, 2)} ,\n\t"e":{"shape":[0,3],"dtype":"F32","data_offsets":[2,2]},${entry("s", "U8", [], 0, 1)}}   `;
    const { tensors } = readSafetensors(file(header, [8, 9]));
    expect(tensors.get("a")!.data).toEqual(Uint8Array.of(9));
    expect(tensors.get("s")).toEqual({ dtype: "uint8", shape: [], data: Uint8Array.of(8) });
    expect(tensors.get("e")!.data).toEqual(new Float32Array(0));
  });
});

const small = writeSafetensors(
  new Map<string, HostTensor>([
    ["weight", { dtype: "float32", shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) }],
    ["mask", { dtype: "bool", shape: [3], data: Uint8Array.of(1, 0, 1) }],
  ]),
  { format: "pt" },
);

function expectTensorsOrFormatError(bytes: Uint8Array): boolean {
  try {
    for (const { shape, data } of readSafetensors(bytes).tensors.values()) {
      expect(data.length).toBe(shape.reduce((a, b) => a * b, 1));
      expect(data.byteLength).toBeLessThanOrEqual(2 * bytes.length);
    }
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(FormatError);
    return false;
  }
}

test("a file cut at any byte is a FormatError", () => {
  for (let length = 0; length < small.length; length++) {
    expect(expectTensorsOrFormatError(small.subarray(0, length))).toBe(false);
  }
});

test("every single changed byte gives tensors or a FormatError", () => {
  for (let at = 0; at < small.length; at++) {
    for (const mask of [1, 2, 4, 8, 16, 32, 64, 128, 255]) {
      const bytes = small.slice();
      bytes[at] ^= mask;
      expectTensorsOrFormatError(bytes);
    }
  }
});

test("random bytes and random edits give tensors or a FormatError", () => {
  const edit = fc.tuple(
    fc.nat({ max: small.length - 1 }),
    fc.nat({ max: 3 }),
    fc.uint8Array({ maxLength: 4 }),
  );
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 6 }), (edits) => {
      let bytes = [...small];
      for (const [at, removed, added] of edits) bytes = bytes.toSpliced(at, removed, ...added);
      expectTensorsOrFormatError(Uint8Array.from(bytes));
    }),
    { numRuns: 2000 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (data) => void expectTensorsOrFormatError(data)));
  fc.assert(fc.property(fc.json(), (text) => void expectTensorsOrFormatError(file(text))));
});

test("a view into a larger buffer is read at its own offset", () => {
  const larger = new Uint8Array(small.length + 3);
  larger.set(small, 3);
  expect(readSafetensors(larger.subarray(3))).toEqual(readSafetensors(small));
});

const real = fileURLToPath(
  new URL("../../../shared/data/safetensors/multi_layer.safetensors", import.meta.url),
);
const missing = existsSync(real) ? "" : " (skipped: the file is outside the repository and not here)";
test.skipIf(missing !== "")(
  `a file written by PyTorch's safetensors is read and written again${missing}`,
  () => {
    const bytes = new Uint8Array(readFileSync(real));
    const { tensors, metadata } = readSafetensors(bytes);
    expect(tensors.size).toBe(9);
    expect(tensors.get("norm1.num_batches_tracked")).toMatchObject({ dtype: "int32", shape: [] });
    expect(readSafetensors(writeSafetensors(tensors, metadata)).tensors).toEqual(
      new Map([...tensors].sort(([a], [b]) => (a < b ? -1 : 1))),
    );
  },
);
