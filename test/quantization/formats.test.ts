/** Layers with weights in every format of the registry, straight from their parts: values, gradients, sharing and files. */
import { describe, expect, it } from "vitest";
import { decodeFloat16, encodeBfloat16, encodeFloat16 } from "../../src/core/half.js";
import {
  formatOf,
  type HostWeight,
  unpackWeight,
  type WeightFormatName,
  weightBytes,
  weightFormats,
} from "../../src/core/weight_format.js";
import type { Device } from "../../src/device/device.js";
import { openMeta } from "../../src/device/meta.js";
import { readSafetensors, writeSafetensors } from "../../src/formats/index.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { Embedding, Linear, Sequential } from "../../src/nn/index.js";
import * as ops from "../../src/ops/index.js";
import { WeightUpload } from "../../src/quantization/device_weight.js";
import { downloadWeight, rowsOf, uploadWeight } from "../../src/quantization/host_weight.js";
import {
  loadQuantized,
  QuantizedEmbedding,
  QuantizedLinear,
  quantizedState,
} from "../../src/quantization/index.js";
import { leaf, readTensor } from "../../src/runtime/host_data.js";
import { generate } from "../cases/generate.js";
import { devices, reference } from "../devices.js";

const groupSize = 32;
const names = Object.keys(weightFormats) as WeightFormatName[];

interface Range {
  /** Of whole numbers as they are stored. Default: the format's. */
  readonly range?: readonly [number, number];
  /** Whole numbers as scales and minimums. */
  readonly isWhole?: boolean;
}

/** A weight [n, k] with drawn parts. */
function drawn(format: WeightFormatName, n: number, k: number, { range, isWhole }: Range = {}): HostWeight {
  const { bits, scaled, offset, range: own } = weightFormats[format];
  const shape = [n, k] as const;
  const floats = (name: string, size: number) => {
    const values = { between: [-1, 1] } as const;
    const list = generate(`${format} ${name}`, [size], "float32", isWhole ? { integers: [-2, 3] } : values);
    // Halves, as in GGUF: products with whole numbers are exact, with or without a fused multiply-add.
    return decodeFloat16(encodeFloat16(Float32Array.from(list as ArrayLike<number>)));
  };
  if (own === undefined) {
    const values = isWhole
      ? Float32Array.from(generate(format, [n * k], "float32", { integers: [-100, 101] }) as Float32Array)
      : floats("values", n * k);
    if (format === "float32") return { format, shape, values };
    return { format, shape, values: format === "float16" ? encodeFloat16(values) : encodeBfloat16(values) };
  }
  const [least, most] = range ?? own;
  const whole = generate(format, [n * k], "int32", { integers: [least, most + 1] }) as Int32Array;
  const values =
    bits === 4
      ? Uint8Array.from({ length: (n * k) / 2 }, (_, i) => whole[2 * i] | (whole[2 * i + 1] << 4))
      : Int8Array.from(whole);
  if (scaled === "row") return { format, shape, values, scales: floats("scales", n).map(Math.abs) };
  const groups = n * (k / groupSize);
  return {
    ...{ format, shape, values, groupSize, scales: floats("scales", groups) },
    ...(offset === "minimum" && { minimums: floats("minimums", groups) }),
    ...(offset === "zeroPoint" && {
      zeroPoints: Uint8Array.from(generate("zeros", [groups], "uint8", { integers: [0, 16] }) as Uint8Array),
    }),
  };
}

/** x [m, k] as the layer rounds it, in float64. */
async function roundedInput(layer: QuantizedLinear, x: Tensor): Promise<Float64Array> {
  const data = Float64Array.from(await readTensor(x));
  if (layer.input.kind === "float") return data;
  const [m, k] = x.shape;
  const size = layer.description.format.groupSize ?? k;
  const { values, scales } = ops.quantizeDynamic(ops.reshape(x, [m, k / size, size]), -1);
  const [whole, factors] = [await readTensor(values), await readTensor(scales)];
  return data.map((_, i) => whole[i] * factors[Math.floor(i / size)]);
}

/** x · wᵀ in float64. */
function product(x: Float64Array, w: ArrayLike<number>, m: number, n: number, k: number): Float64Array {
  const result = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let p = 0; p < k; p++) sum += x[i * k + p] * w[j * k + p];
      result[i * n + j] = sum;
    }
  }
  return result;
}

function inputOf(device: Device, m: number, k: number): Tensor {
  const data = generate("x", [m, k], "float32", { between: [-1, 1] }) as Float32Array;
  return ops.tensor(data, { shape: [m, k], device, requiresGrad: true });
}

const largest = (values: ArrayLike<number>) =>
  Array.from(values).reduce((most, v) => Math.max(most, Math.abs(v)), 0);

const extents: readonly (readonly [m: number, n: number, k: number])[] = [
  [1, 19, 64],
  [3, 24, 96],
  [5, 8, 32],
  [37, 41, 160],
];

describe.each(devices)("$label", ({ device }) => {
  describe.each(names)("%s", (format) => {
    it("is read back as it was written, whole or by rows", async () => {
      const weight = drawn(format, 43, 96);
      expect(await downloadWeight(uploadWeight(weight, device))).toEqual(weight);
      const upload = new WeightUpload(weight, device);
      for (const [start, end] of [
        [0, 8],
        [8, 32],
        [32, 43],
      ]) {
        upload.write(rowsOf(weight, start, end));
      }
      const made = upload.finish();
      expect(await downloadWeight(made)).toEqual(weight);
      const tensors = [made.weight, made.scale, made.minimums].filter((tensor) => tensor !== undefined);
      const bytes = { int32: 4, float32: 4, float16: 2, bfloat16: 2 } as Record<string, number>;
      const size = tensors.reduce((sum, { size: count, dtype }) => sum + count * bytes[dtype], 0);
      // Rows are padded to panels of 8; zero points become float32.
      expect(size).toBeLessThanOrEqual(weightBytes(format, 48, 96, groupSize) + 3 * 48 * 3);
    });

    it("stands for the numbers of files, to the bit", async () => {
      const weight = drawn(format, 19, 64);
      const layer = QuantizedLinear.fromWeight(weight, { device });
      const plus = (values: ArrayLike<number>) => Array.from(values, (value) => value + 0);
      const wanted = unpackWeight(weight);
      const found = Float32Array.from(await readTensor(layer.dequantized(64)));
      expect(plus(found)).toEqual(plus(wanted));
    });

    it.each(extents)("multiplies and has gradients, [%i, k] to %i of %i", async (m, n, k) => {
      const weight = drawn(format, n, k);
      const bias = ops.tensor(generate("bias", [n], "float32", { between: [-1, 1] }) as Float32Array, {
        device,
      });
      const layer = QuantizedLinear.fromWeight(weight, { device, bias });
      const x = inputOf(device, m, k);
      const y = layer.forward(x);
      const [found, added] = [await readTensor(y), await readTensor(bias)];
      const w = unpackWeight(weight);
      const rounded = await roundedInput(layer, x);
      const wanted = product(rounded, w, m, n, k).map((value, i) => value + added[i % n]);
      // Each product and partial sum is rounded to 2^-24 of at most k products of the largest factors; offsets add as much again.
      const bound = 4 * (k + 2) * k * largest(rounded) * Math.max(16, largest(w)) * 2 ** -24;
      for (const [i, value] of wanted.entries()) expect(Math.abs(found[i] - value)).toBeLessThan(bound);

      const c = generate("c", [m, n], "float32", { between: [-1, 1] }) as Float32Array;
      ops.sum(ops.mul(layer.forward(x), ops.tensor(c, { shape: [m, n], device }))).backward();
      const gradient = await readTensor(x.grad!);
      const transposed = Float64Array.from({ length: n * k }, (_, i) => w[(i % n) * k + Math.floor(i / n)]);
      const slopes = product(Float64Array.from(c), transposed, m, k, n);
      const most = (n + 2) * n * largest(w) * 2 ** -24;
      for (const [i, value] of slopes.entries())
        expect(Math.abs(gradient[i] - value)).toBeLessThanOrEqual(most);
    });

    it("adds up whole numbers exactly", async () => {
      const [m, n, k] = [3, 21, 96];
      const weight = drawn(format, n, k, { isWhole: true });
      const layer = QuantizedLinear.fromWeight(weight, { device });
      // A 127 in each group: rows are rounded to themselves, with scales of 1.
      const data = Float32Array.from({ length: m * k }, (_, i) =>
        i % groupSize === 0 ? 127 : ((i * 37) % 255) - 127,
      );
      const x = leaf(device, "float32", [m, k], data);
      const wanted = product(Float64Array.from(data), unpackWeight(weight), m, n, k);
      expect(Array.from(await readTensor(layer.forward(x)), (v) => v + 0)).toEqual(
        Array.from(wanted, (v) => v + 0),
      );
    });

    it("survives a file with the same bits", async () => {
      const [n, k] = [19, 64];
      const bias = ops.full([n], 0.25, { device });
      const layer = QuantizedLinear.fromWeight(drawn(format, n, k), { device, bias });
      const model = new Sequential(layer);
      const { tensors, metadata } = await quantizedState(model);
      const read = readSafetensors(writeSafetensors(tensors, metadata));
      const empty = new Sequential(new Linear(k, n, { device: openMeta() }));
      const again = await loadQuantized(empty, read, device);
      const x = inputOf(device, 3, k);
      const [first, second] = [model, again].map((m) => m.forward(x) as Tensor);
      expect(await readTensor(second)).toEqual(await readTensor(first));
      expect((again.modules[0] as QuantizedLinear).description).toEqual(layer.description);
    });
  });
});

describe.each(devices)("tables on $label", ({ device }) => {
  it.each(names)("%s: rows are those of the file, and a tied head shares the memory", async (format) => {
    const [count, width] = [19, 64];
    const weight = drawn(format, count, width);
    const table = QuantizedEmbedding.fromWeight(weight, { device });
    const rows = [0, 18, 7, 8, 8, 3];
    const index = ops.tensor(rows, { shape: [2, 3], dtype: "int32", device });
    const whole = unpackWeight(weight);
    const wanted = rows.flatMap((row) =>
      Array.from(whole.subarray(row * width, (row + 1) * width), (v) => v + 0),
    );
    const found = table.forward(index);
    expect(found.shape).toEqual([2, 3, width]);
    expect(Array.from(Float32Array.from(await readTensor(found)), (v) => v + 0)).toEqual(wanted);

    const before = device.memory().liveBytes;
    const head = QuantizedLinear.fromWeight(table.deviceWeight);
    expect(device.memory().liveBytes).toBe(before);
    for (const part of ["weight", "scale", "minimums"] as const) expect(head[part]).toBe(table[part]);

    const { tensors, metadata } = await quantizedState(new Sequential(table));
    const read = readSafetensors(writeSafetensors(tensors, metadata));
    const empty = new Sequential(new Embedding(count, width, { device: openMeta() }));
    const again = await loadQuantized(empty, read, device);
    expect(again.modules[0]).toBeInstanceOf(QuantizedEmbedding);
    expect(await readTensor(again.forward(index) as Tensor)).toEqual(await readTensor(found));
  });

  it("an index behind the last row is an error, also where panels are longer", async () => {
    for (const format of ["int8", "int4Minimum", "bfloat16"] as const) {
      const table = QuantizedEmbedding.fromWeight(drawn(format, 19, 64), { device });
      const index = ops.tensor([2, 19], { dtype: "int32", device });
      await expect(readTensor(table.forward(index))).rejects.toThrow(/index 19/);
    }
  });
});

describe("gradients", () => {
  it.each(names)("%s: are finite differences of the dequantized product", async (format) => {
    const [m, n, k] = [2, 5, 32];
    const layer = QuantizedLinear.fromWeight(drawn(format, n, k), { device: reference });
    const x = inputOf(reference, m, k);
    const c = ops.tensor(generate("c", [m, n], "float32", { between: [-1, 1] }) as Float32Array, {
      shape: [m, n],
      device: reference,
    });
    ops.sum(ops.mul(layer.forward(x), c)).backward();
    const gradient = await readTensor(x.grad!);
    const data = Float32Array.from(await readTensor(x));
    const loss = (values: Float32Array) => {
      const at = ops.tensor(values, { shape: [m, k], device: reference });
      return ops.sum(ops.mul(ops.linear(at, layer.dequantized(k)), c)).item();
    };
    for (let i = 0; i < m * k; i++) {
      // Linear in x: a large step only makes its rounding to float32 matter less.
      const [up, down] = [data.with(i, data[i] + 0.5), data.with(i, data[i] - 0.5)];
      const slope = ((await loss(up)) - (await loss(down))) / (up[i] - down[i]);
      expect(Math.abs(gradient[i] - slope)).toBeLessThan(1e-5 * Math.max(1, largest(gradient)));
    }
  });
});

describe("fromRows", () => {
  it("packs rows as they arrive, and frees the memory after an error", async () => {
    const { device } = devices[devices.length - 1];
    const weight = drawn("int4Minimum", 24, 64);
    async function* rows() {
      for (let row = 0; row < 24; row += 8) yield rowsOf(weight, row, row + 8);
    }
    const layer = await QuantizedLinear.fromRows(weight, rows(), { device });
    expect(await downloadWeight(layer.deviceWeight)).toEqual(weight);
    const shared = QuantizedLinear.fromWeight(layer.deviceWeight);
    expect(shared.weight).toBe(layer.weight);
    const before = device.memory().liveBytes;
    const few = QuantizedLinear.fromRows(weight, [rowsOf(weight, 0, 8)], { device });
    await expect(few).rejects.toThrow("8 of 24 rows are written");
    const uneven = QuantizedLinear.fromRows(weight, [rowsOf(weight, 0, 7)], { device });
    await expect(uneven).rejects.toThrow("7 rows of int4Minimum [64] after 0 of int4Minimum [24, 64]");
    expect(device.memory().liveBytes).toBe(before);
  });

  it("names groups that kernels do not have", () => {
    const weight = { ...drawn("int4", 8, 64), groupSize: 16, scales: new Float32Array(32) };
    expect(() => QuantizedLinear.fromWeight(weight, { device: reference })).toThrow(
      "groups of 16 do not fit",
    );
    expect(() =>
      QuantizedLinear.fromWeight(drawn("int8Groups", 8, 64), { device: reference, input: "float" }),
    ).toThrow("weights in groups go with inputs of int8");
    expect(formatOf("int8Groups", 64)).toEqual({ bits: 8, groupSize: 64 });
  });
});
