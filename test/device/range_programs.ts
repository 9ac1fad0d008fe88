/** Writes and reads of ranges of a buffer, at every alignment, compared with a host array, for any device. */
import { type DType, newArray, type TypedArray } from "../../src/core/dtype.js";
import { ArgumentError } from "../../src/core/errors.js";
import type { BufferRange, Device } from "../../src/device/device.js";
import { toHalf } from "../tolerance.js";

const dtypes: readonly DType[] = ["float32", "int32", "int8", "uint8", "bool"];

/** Values with every bit in use: signs, odd mantissas, subnormal numbers, infinities. */
function valuesOf(dtype: DType, size: number, seed: number): TypedArray {
  const data = newArray(dtype, size);
  let state = seed;
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    if (dtype === "bool") data[i] = state >>> 31;
    else if (dtype !== "float32") data[i] = state | 0;
    else data[i] = i % 17 === 3 ? Number.NEGATIVE_INFINITY : ((state | 0) * 2 ** -20) / (1 + (i % 7));
  }
  return data;
}

/** Sizes of one row of a texture, several, and a padded texel at the end; the last is above 65,536 texels, in lines of 4096. */
const sizes = [7, 64, 1021, 70_003, 262_144 + 4096 * 8 + 5];

/** Ranges of a buffer: none, all, each alignment of both ends, across rows, and one element; fewer of large buffers. */
function rangesOf(size: number): BufferRange[] {
  const half = size >> 1;
  const ends =
    size > 2000
      ? [0, 3, 1023, half + 2, size - 6, size]
      : [0, 1, 2, 3, 5, half, half + 3, size - 6, size - 1, size];
  const points = [...new Set(ends.filter((end) => end >= 0 && end <= size))];
  return points.flatMap((offset) =>
    points.filter((end) => end >= offset).map((end) => ({ offset, length: end - offset })),
  );
}

/**
 * Everything that is wrong, in words.
 * @param isHalf whether the device rounds float32 to halves.
 */
export async function runRanges(device: Device, { isHalf = false } = {}): Promise<string[]> {
  const wrong: string[] = [];
  const stored = (values: TypedArray) =>
    isHalf && values instanceof Float32Array ? values.map(toHalf) : values;
  const compare = (what: string, got: TypedArray, want: TypedArray) => {
    if (got.length !== want.length) wrong.push(`${what}: ${got.length} elements, not ${want.length}`);
    const at = want.findIndex((value, i) => !Object.is(value, got[i]));
    if (at >= 0 && got.length === want.length) wrong.push(`${what}: ${got[at]} at ${at}, not ${want[at]}`);
  };
  for (const dtype of dtypes) {
    for (const size of sizes) {
      const buffer = device.allocate(dtype, size);
      const host = stored(valuesOf(dtype, size, size));
      device.write(buffer, host);
      let seed = 1;
      const ranges = rangesOf(size);
      for (const range of ranges) {
        const { offset, length = 0 } = range;
        const data = valuesOf(dtype, length, seed++);
        device.write(buffer, data, seed % 2 === 0 ? range : { offset });
        data.fill(0);
        host.set(stored(valuesOf(dtype, length, seed - 1)), offset);
      }
      compare(`${dtype} ${size}, all`, await device.read(buffer), host);
      for (const range of ranges) {
        const { offset, length = 0 } = range;
        const want = host.slice(offset, offset + length);
        compare(`${dtype} ${size} [${offset}, ${offset + length})`, await device.read(buffer, range), want);
      }
      compare(`${dtype} ${size} [3, …)`, await device.read(buffer, { offset: 3 }), host.slice(3));
      device.free(buffer);
    }
  }
  return [...wrong, ...(await runWrongRanges(device))];
}

/** Ranges that are refused by `write` and `read`, and leave the buffer as it was. */
export async function runWrongRanges(device: Device): Promise<string[]> {
  const wrong: string[] = [];
  const buffer = device.allocate("int32", 8);
  const host = Int32Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  device.write(buffer, host);
  const refuses = async (what: string, call: () => unknown) => {
    try {
      await call();
      wrong.push(`${what} is not refused`);
    } catch (error) {
      if (!(error instanceof ArgumentError)) wrong.push(`${what}: ${error}`);
    }
  };
  const ranges: BufferRange[] = [
    { offset: -1, length: 2 },
    { offset: 7, length: 2 },
    { offset: 9, length: 0 },
    { offset: 0.5, length: 2 },
    { offset: 1, length: 1.5 },
    { offset: Number.NaN, length: 2 },
    { offset: 1, length: Number.POSITIVE_INFINITY },
    { offset: 3, length: -1 },
  ];
  for (const range of ranges) {
    const text = JSON.stringify(range);
    await refuses(`write ${text}`, () => device.write(buffer, Int32Array.of(9, 9), range));
    if (device.name !== "meta") await refuses(`read ${text}`, () => device.read(buffer, range));
  }
  await refuses("write of 3 to 2", () => device.write(buffer, new Int32Array(3), { offset: 0, length: 2 }));
  await refuses("write of 2 to 8", () => device.write(buffer, new Int32Array(2)));
  if (device.name !== "meta" && device.name !== "dry") {
    const now = await device.read(buffer);
    if (now.join() !== host.join()) wrong.push(`the buffer holds ${now}`);
  }
  return wrong;
}
