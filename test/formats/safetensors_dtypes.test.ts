/** Every dtype of a file that the safetensors library has written, against the values that PyTorch has (fixtures/make_safetensors_dtypes.py). */
import { describe, expect, it } from "vitest";
import { newArray } from "../../src/core/dtype.js";
import { openSafetensors, readSafetensors, writeSafetensors } from "../../src/formats/index.js";
import fixture from "../fixtures/safetensors_dtypes.json";

const file = new Uint8Array(Buffer.from(fixture.file, "base64"));
const dtypes: Record<string, string> = {
  bool: "bool",
  i8: "int8",
  u8: "uint8",
  scalar: "int32",
  empty: "float32",
};

describe("dtypes of a file", () => {
  for (const [name, { shape, values }] of Object.entries(fixture.tensors)) {
    it(name, async () => {
      const dtype = dtypes[name] ?? (/^b?f/.test(name) ? "float32" : "int32");
      const data = newArray(dtype as "float32", values.length).map((_, i) =>
        Number(String(values[i]).replace("inf", "Infinity")),
      );
      const read = readSafetensors(file).tensors.get(name)!;
      expect(read).toEqual({ dtype, shape, data });
      for (let i = 0; i < data.length; i++)
        expect(Object.is(read.data[i], data[i]), `element ${i}`).toBe(true);
      const opened = await openSafetensors(file);
      expect(await opened.tensor(name)).toEqual(read);
    });
  }

  it("are all read, in the order of the data and with their names", async () => {
    const { tensors, metadata } = await openSafetensors(file);
    expect([...tensors.keys()].sort()).toEqual(Object.keys(fixture.tensors).sort());
    const stored = Object.fromEntries([...tensors].map(([name, entry]) => [name, entry.stored]));
    expect(stored).toMatchObject({
      f8_e4m3: "F8_E4M3",
      bf16: "BF16",
      u64: "U64",
      scalar: "I64",
      bool: "BOOL",
    });
    expect(tensors.get("f64")).toMatchObject({ dtype: "float32", bytes: 32 });
    expect({ ...metadata }).toEqual({ format: "pt" });
    const again = await openSafetensors(writeSafetensors(readSafetensors(file).tensors));
    expect([...again.tensors.values()].map((entry) => entry.stored)).toEqual(
      expect.arrayContaining(["F32", "I32", "I8", "U8", "BOOL"]),
    );
  });

  it.each([
    ["I64", BigInt64Array.of(0n, -(2n ** 31n) - 1n), /"w": -2147483649 at element 1 does not fit int32/],
    ["U64", BigUint64Array.of(2n ** 64n - 1n), /"w": 18446744073709551615 at element 0 does not fit int32/],
    ["U32", Uint32Array.of(1, 2, 2 ** 31), /"w": 2147483648 at element 2 does not fit int32/],
    ["F64", Float64Array.of(-1e39), /"w": -1e\+39 at element 0 does not fit float32/],
    ["BOOL", Uint8Array.of(1, 7), /"w": 7 at element 1 is no BOOL/],
  ])("%s that does not fit is an error, of the tensor alone", async (dtype, values, message) => {
    const bytes = new Uint8Array(values.buffer);
    const header = `{"w":{"dtype":"${dtype}","shape":[${values.length}],"data_offsets":[0,${bytes.length}]},"x":{"dtype":"U8","shape":[1],"data_offsets":[${bytes.length},${bytes.length + 1}]}}`;
    const whole = Buffer.concat([Buffer.alloc(8), Buffer.from(header), bytes, Buffer.of(5)]);
    whole.writeBigUInt64LE(BigInt(header.length));
    expect(() => readSafetensors(whole)).toThrow(message);
    const opened = await openSafetensors(whole);
    await expect(opened.tensor("w")).rejects.toThrow(message);
    expect((await opened.tensor("x")).data).toEqual(Uint8Array.of(5));
  });
});
