/** Quantized models in safetensors files: the same bits, never expanded to float32, and validated. */
import { describe, expect, it } from "vitest";
import { DataLoader } from "../../src/data/index.js";
import type { Device } from "../../src/device/device.js";
import { openWasm } from "../../src/device/wasm/wasm.js";
import { type HostTensor, readSafetensors, writeSafetensors } from "../../src/formats/index.js";
import { Linear, type Module, Sequential } from "../../src/nn/index.js";
import { tensor } from "../../src/ops/index.js";
import { readExact } from "../../src/runtime/host_data.js";
import "../../src/ops/methods.js";
import { FormatError } from "../../src/core/errors.js";
import { noGrad, type Tensor } from "../../src/graph/tensor.js";
import {
  bfloat16WeightOnly,
  float16WeightOnly,
  int4WeightOnly,
  int8Dynamic,
  int8Static,
  int8WeightOnly,
  isQuantizedFile,
  loadQuantized,
  openMeta,
  quantize,
  quantizedState,
  type Scheme,
} from "../../src/quantization/index.js";
import { exampleImages, quadrants, smallCnn } from "./problem.js";

const device: Device = await openWasm();

const schemes: readonly [string, () => Scheme][] = [
  ["int8-dynamic", () => int8Dynamic()],
  [
    "int8-static of 7 bits",
    () => int8Static({ data: new DataLoader(quadrants(64), { device, batchSize: 32 }) }, { weightBits: 7 }),
  ],
  ["int8-weight-only", () => int8WeightOnly()],
  ["int4-weight-only", () => int4WeightOnly({ groupSize: 32 })],
  ["int4-weight-only with minimums", () => int4WeightOnly({ asymmetric: true })],
  ["float16-weight-only", () => float16WeightOnly()],
  ["bfloat16-weight-only", () => bfloat16WeightOnly()],
  ["int4-weight-only with groups that do not divide the rows", () => int4WeightOnly({ groupSize: 128 })],
];

async function fileOf(model: Module): Promise<Uint8Array> {
  const { tensors, metadata } = await quantizedState(model);
  return writeSafetensors(tensors, { ...metadata, format: "pt" });
}

const images = (on: Device): Tensor => tensor(exampleImages.data, { device: on, shape: exampleImages.shape });

const outputOf = async (model: Module, on: Device) =>
  readExact(noGrad(() => model.eval().forward(images(on))));

describe("a quantized model in a file", () => {
  for (const [name, scheme] of schemes) {
    it(`${name}: read back, it gives the same bits`, async () => {
      const model = smallCnn(device);
      await quantize(model, scheme());
      const bytes = await fileOf(model);
      const file = readSafetensors(bytes);
      expect(isQuantizedFile(file.metadata)).toBe(true);
      const on = await openWasm();
      const loaded = await loadQuantized(smallCnn(openMeta()), file, on);
      expect(await outputOf(loaded, on)).toEqual(await outputOf(model, device));
      expect(await fileOf(loaded)).toEqual(bytes);
      on.close();
    });
  }

  it("int4 pads a row behind its last weight", async () => {
    const model = smallCnn(device);
    await quantize(model, int4WeightOnly({ groupSize: 128 }));
    const { tensors } = await quantizedState(model);
    const { shape, data } = tensors.get("8.weight")!;
    // 192 weights in two groups of 128, two in a byte; 0 is stored as 8.
    expect(shape).toEqual([32, 128]);
    const isZero = (from: number, to: number) => data.subarray(from, to).every((pair) => pair === 0x88);
    expect(isZero(96, 128)).toBe(true);
    expect(isZero(0, 32)).toBe(false);
  });

  it("with a convolution that was folded and then left out: the same bits", async () => {
    const model = smallCnn(device);
    const data = () => new DataLoader(quadrants(64), { device, batchSize: 32 });
    const scheme = () => int8Static({ data: data() });
    const measured = await quantize(smallCnn(device), scheme(), { data: data(), minSnr: 1 });
    const minSnr = measured.layers.find(({ name }) => name === "4")!.snr! + 1e-3;
    const { layers, folded } = await quantize(model, scheme(), { data: data(), minSnr });
    expect(folded).toEqual(["1", "5"]);
    expect(layers.find(({ name }) => name === "4")!.quantized).toBe(false);
    const file = readSafetensors(await fileOf(model));
    const on = await openWasm();
    const loaded = await loadQuantized(smallCnn(openMeta()), file, on);
    expect(await outputOf(loaded, on)).toEqual(await outputOf(model, device));
    on.close();
  });

  it("holds whole numbers in PyTorch's order", async () => {
    const model = new Sequential(new Linear(4, 2, { device }));
    const weight = Float32Array.of(1.27, -0.5, 0, 0.01, 0.2, 0.4, -6.35, 0.05);
    await model.loadStateDict(
      new Map<string, HostTensor>([
        ["0.weight", { dtype: "float32", shape: [2, 4], data: weight }],
        ["0.bias", { dtype: "float32", shape: [2], data: Float32Array.of(1, 2) }],
      ]),
    );
    await quantize(model, int8Dynamic());
    const { tensors } = readSafetensors(await fileOf(model));
    expect([...tensors.keys()].sort()).toEqual(["0.bias", "0.scale", "0.weight"]);
    expect(tensors.get("0.weight")).toEqual({
      dtype: "int8",
      shape: [2, 4],
      data: Int8Array.of(127, -50, 0, 1, 4, 8, -127, 1),
    });
    expect([...tensors.get("0.scale")!.data].map((scale) => scale.toFixed(4))).toEqual(["0.0100", "0.0500"]);
  });

  it("comes back without float32 weights on the device", async () => {
    const wide = () => new Sequential(new Linear(1024, 1024, { device }), new Linear(1024, 1024, { device }));
    const model = wide();
    await quantize(model, int8Dynamic());
    const file = readSafetensors(await fileOf(model));
    const on = await openWasm();
    const meta = openMeta();
    const build = () =>
      new Sequential(new Linear(1024, 1024, { device: meta }), new Linear(1024, 1024, { device: meta }));
    const loaded = await loadQuantized(build(), file, on);
    const own = 2 * (1024 * 1024 + 8 * 1024);
    expect(on.memory().liveBytes).toBe(own);
    // One layer's weights as the file has them, and on their way to their arrangement; as float32 they would be 8 MiB.
    expect(on.memory().peakBytes).toBeLessThan(own + 2.1 * 1024 * 1024);
    loaded.dispose();
    expect(on.memory().liveBytes).toBe(0);
    on.close();
  });

  it("moves to another device and keeps its bits", async () => {
    const model = smallCnn(device);
    await quantize(model, int8Dynamic());
    const before = await outputOf(model, device);
    const on = await openWasm();
    await model.to(on);
    expect(await outputOf(model, on)).toEqual(before);
    on.close();
  });
});

describe("a damaged file is refused, and the model stays as it was:", () => {
  type Change = (tensors: Map<string, HostTensor>, record: Record<string, unknown>) => void;
  const layer = (record: Record<string, unknown>, name: string) =>
    (record.layers as Record<string, Record<string, unknown>>)[name];
  const changes: readonly [string, Change, RegExp][] = [
    ["a missing tensor", (tensors) => tensors.delete("8.scale"), /no tensor 8\.scale/],
    ["a missing float tensor", (tensors) => tensors.delete("8.bias"), /no tensor 8\.bias/],
    [
      "a tensor too many",
      (tensors) => tensors.set("12.weight", { dtype: "float32", shape: [1], data: new Float32Array(1) }),
      /the model has no tensor 12\.weight/,
    ],
    [
      "a weight of another shape",
      (tensors) => tensors.set("8.weight", { dtype: "int8", shape: [2], data: new Int8Array(2) }),
      /8\.weight is int8 \[2\], not int8 \[32, 192\]/,
    ],
    [
      "a weight of another dtype",
      (tensors) =>
        tensors.set("10.weight", { dtype: "float32", shape: [4, 32], data: new Float32Array(128) }),
      /10\.weight is float32/,
    ],
    [
      "a weight beyond 7 bits",
      (tensors) => {
        tensors.get("0.weight")!.data[3] = 64;
      },
      /a weight of 64, more than 7 bits/,
    ],
    [
      "a scale that is not a number",
      (tensors) => {
        tensors.get("0.scale")!.data[0] = Number.NaN;
      },
      /a scale of NaN/,
    ],
    [
      "a negative scale",
      (tensors) => {
        tensors.get("0.scale")!.data[0] = -1;
      },
      /a scale of -1/,
    ],
    ["another version", (_, record) => Object.assign(record, { version: 2 }), /version 2 is unknown/],
    ["no layers", (_, record) => Object.assign(record, { layers: 3 }), /no layers/],
    [
      "folded norms that are none",
      (_, record) => Object.assign(record, { folded: ["2"] }),
      /no batch norm 2/,
    ],
    [
      "folded norms that are no names",
      (_, record) => Object.assign(record, { folded: [{}] }),
      /no list of names/,
    ],
    [
      "a layer that is none",
      (_, record) => Object.assign(record.layers as object, { 3: layer(record, "8") }),
      /no linear layer or convolution 3/,
    ],
    ["strange bits", (_, record) => Object.assign(layer(record, "8"), { bits: 5 }), /weights of 5 bits/],
    [
      "a bias that is no boolean",
      (_, record) => Object.assign(layer(record, "8"), { bias: 1 }),
      /neither true nor false/,
    ],
    [
      "4 bits of a weight that has 8",
      (_, record) =>
        Object.assign(layer(record, "8"), { bits: 4, groupSize: 128, input: { kind: "dynamic" } }),
      /8\.weight is int8 \[32, 192\], not uint8 \[32, 128\]/,
    ],
    [
      "4 bits without a group size",
      (_, record) => Object.assign(layer(record, "8"), { bits: 4, input: { kind: "dynamic" } }),
      /the group size is a multiple of 32/,
    ],
    ["no input", (_, record) => Object.assign(layer(record, "8"), { input: null }), /not described/],
    [
      "an unknown input",
      (_, record) => Object.assign(layer(record, "8"), { input: { kind: "magic" } }),
      /kind "magic"/,
    ],
    [
      "a scale of 0",
      (_, record) => Object.assign(layer(record, "8"), { input: { kind: "static", scale: 0, zeroPoint: 0 } }),
      /a float32 above 0, not 0/,
    ],
    [
      "a zero point outside int8",
      (_, record) =>
        Object.assign(layer(record, "8"), { input: { kind: "static", scale: 1, zeroPoint: 300 } }),
      /from -128 to 127, not 300/,
    ],
    [
      "a convolution of float inputs",
      (_, record) => Object.assign(layer(record, "0"), { input: { kind: "float" } }),
      /convolutions take int8 inputs/,
    ],
  ];
  for (const [name, change, message] of changes) {
    it(name, async () => {
      const model = smallCnn(device);
      await quantize(model, schemes[1][1]());
      const { tensors, metadata } = readSafetensors(await fileOf(model));
      const record = JSON.parse(metadata.quantization);
      change(tensors, record);
      const target = smallCnn(device);
      const modules = [...target.modules];
      const before = await outputOf(target, device);
      const attempt = loadQuantized(
        target,
        { tensors, metadata: { quantization: JSON.stringify(record) } },
        device,
      );
      await expect(attempt).rejects.toThrow(FormatError);
      await expect(attempt).rejects.toThrow(message);
      expect(target.modules).toEqual(modules);
      expect(await outputOf(target, device)).toEqual(before);
    });
  }

  it("metadata that are no JSON, or none", async () => {
    const tensors = new Map<string, HostTensor>();
    const target = smallCnn(device);
    await expect(loadQuantized(target, { tensors, metadata: { quantization: "{" } }, device)).rejects.toThrow(
      /not JSON/,
    );
    await expect(
      loadQuantized(target, { tensors, metadata: { quantization: "[]" } }, device),
    ).rejects.toThrow(/no object/);
    await expect(loadQuantized(target, { tensors, metadata: {} }, device)).rejects.toThrow(
      /does not hold a quantized model/,
    );
  });
});
