/** All parsers of untrusted bytes or text, each with inputs to start from. */
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { parseBenchFile } from "../../src/cli/bench/file.js";
import { parseConfig } from "../../src/cli/plan/config.js";
import { weightFormats } from "../../src/core/weight_format.js";
import { readCifar10 } from "../../src/data/index.js";
import type { Device } from "../../src/device/device.js";
import { openReference } from "../../src/device/reference/reference.js";
import { parseNvidiaLine } from "../../src/energy/nvidia.js";
import {
  openGguf,
  openSafetensors,
  openTorch,
  readIdx,
  readSafetensors,
  writeSafetensors,
} from "../../src/formats/index.js";
import { parseIndex } from "../../src/formats/safetensors_index.js";
import { unpackImages } from "../../src/inference/images.js";
import { Embedding, Linear, Sequential } from "../../src/nn/index.js";
import { parseRecord, writeRecord } from "../../src/quantization/file_record.js";
import {
  loadQuantized,
  openMeta,
  QuantizedEmbedding,
  QuantizedLinear,
  quantizedState,
} from "../../src/quantization/index.js";
import { replaceModule } from "../../src/quantization/replace.js";
import { decode } from "../../src/train/checkpoint.js";
import { parseState, stringifyState } from "../../src/train/checkpoint_state.js";
import { mutateBytes, mutateJson } from "./mutate.js";

export interface Reader {
  readonly name: string;
  /** A damaged input. */
  input(random: () => number): Uint8Array | string;
  /** Reads it; the bytes of what comes out. */
  read(input: never): number | Promise<number>;
  /** How many bytes an input of so many may become. */
  readonly most: (bytes: number) => number;
  /** Share of the runs; decompression starts streams, and files of torch.save have many parts. */
  readonly share?: number;
}

const f32 = (...values: number[]) =>
  ({ dtype: "float32", shape: [values.length], data: Float32Array.from(values) }) as const;
const tensors = [
  ["layer.weight", f32(1, 2, 3, 4)],
  ["count", { dtype: "int32", shape: [1, 2], data: Int32Array.of(1, 2) }],
  ["mask", { dtype: "bool", shape: [3], data: Uint8Array.of(0, 1, 1) }],
] as const;
const files = [
  writeSafetensors(tensors, { format: "pt", note: "x" }),
  writeSafetensors(tensors, {}, { floatType: "F16" }),
  writeSafetensors([]),
];

/** Dtypes of elements of as many bytes, which the writer does not write, and some of other sizes. */
const others: Readonly<Record<string, readonly string[]>> = {
  F32: ["F32", "U32", "I32", "C64"],
  I32: ["I32", "U32", "F64", "I64"],
  F16: ["F16", "BF16", "I16", "U16", "U64"],
  BOOL: ["BOOL", "F8_E4M3", "F8_E5M2", "F4"],
};
function withDTypes(file: Uint8Array, random: () => number): Uint8Array {
  const text = String.fromCharCode(...file).replace(
    /"(F32|I32|BOOL|F16)"/g,
    (_, dtype) => `"${one(random, others[dtype])}"`,
  );
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, view.getBigUint64(0, true) + BigInt(bytes.length - file.length), true);
  return bytes;
}

/** From the root of the repository, where the tests and `npm run fuzz` run. */
const gguf = readFileSync("test/formats/gguf/tiny.gguf");
const torch = ["state.pt", "legacy.pt", "checkpoint.pt"].map((name) =>
  readFileSync(`test/formats/torch/${name}`),
);

const index = {
  metadata: { total_size: 16, origin: ["x", { y: null }] },
  weight_map: { "layer.weight": "m-1.safetensors", count: "m-2.safetensors", mask: "m-2.safetensors" },
};

/** Reads every tensor that can be read, in pieces; the bytes of all of them. */
const readInParts =
  (open: typeof openSafetensors | typeof openGguf | typeof openTorch) => async (file: Uint8Array) => {
    const { tensors } = await open(file);
    let bytes = 0;
    for (const entry of tensors.values()) {
      for await (const piece of entry.pieces()) bytes += piece.byteLength;
      bytes = Math.max(bytes, (await entry.data()).byteLength);
    }
    return bytes;
  };

/** A safetensors file whose header says something else; its length is right. */
function withHeader(file: Uint8Array, random: () => number): Uint8Array {
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
  const text = new TextEncoder().encode(JSON.stringify(mutateJson(header, random)));
  const bytes = new Uint8Array(8 + text.length + file.length - 8 - length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(file.subarray(8 + length), 8 + text.length);
  return bytes;
}

const one = <T>(random: () => number, list: readonly T[]) => list[Math.floor(random() * list.length)];
const safetensors = (seeds: readonly Uint8Array[]) => (random: () => number) => {
  const file = one(random, seeds);
  return random() < 0.5 ? withHeader(file, random) : mutateBytes(file, random);
};
const binary = (seeds: readonly Uint8Array[]) => (random: () => number) =>
  mutateBytes(one(random, seeds), random);
const json = (seeds: readonly unknown[]) => (random: () => number) => {
  const seed = one(random, seeds);
  if (random() < 0.7) {
    // What JSON cannot say, or a value nested too deeply to be written, is left as it was.
    try {
      return JSON.stringify(mutateJson(seed, random)) ?? "";
    } catch {
      return "[".repeat(20_000);
    }
  }
  return new TextDecoder().decode(mutateBytes(new TextEncoder().encode(JSON.stringify(seed)), random));
};
const sizeOf = (list: Iterable<{ readonly data: ArrayBufferView }>) =>
  [...list].reduce((sum, { data }) => sum + data.byteLength, 0);

const idx = (shape: number[], data: number[]) =>
  Uint8Array.from([0, 0, 8, shape.length, ...shape.flatMap((n) => [0, 0, 0, n]), ...data]);
const idxFiles = [idx([2, 2, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]), idx([3], [1, 2, 3]), idx([0], [])];
const cifar = new Uint8Array(2 * 3073).fill(3);

const energy = {
  joules: 1,
  kind: "measured",
  method: "m",
  scope: "s",
  seconds: 1,
  idleSubtracted: false,
  parts: [],
};
const scores = { loss: 1, metrics: { accuracy: 0.5 } };
const state = {
  progress: {
    epoch: 2,
    steps: 3,
    seconds: 1,
    epochSeconds: 0,
    sum: { loss: 1, metrics: [1], samples: 2 },
    learningRate: 0.1,
    metricNames: ["accuracy"],
    energy: { total: energy, epoch: null },
    history: [
      { epoch: 1, step: 2, samples: 4, ...scores, validation: scores, learningRate: 0.1, seconds: 1, energy },
    ],
  },
  optimizer: { lr: [0.1], steps: [3] },
  scheduler: { step: 3, base: [0.1] },
  loader: { epoch: 1, position: 0, seed: 0 },
  generators: [{ seed: 0, offset: 1 }],
};
const checkpoint = writeSafetensors([["model.w", f32(1, 2)]], {
  format: "wattgrad-checkpoint-1",
  state: stringifyState(state),
  float64: "[]",
  sha256: "0".repeat(64),
});
const row = {
  suite: "s",
  case: "c",
  device: "d",
  where: "node",
  threads: 1,
  peer: null,
  times: [1, 2],
  cpuTimes: [1, 2],
};
const record = JSON.parse(
  writeRecord(
    {
      a: { bits: 8, bias: true, input: { kind: "static", scale: 0.5, zeroPoint: 3 } },
      b: { bits: 4, groupSize: 32, bias: false, input: { kind: "dynamic" } },
      c: { bits: 4, groupSize: 64, offset: "minimum", bias: false, input: { kind: "dynamic" } },
      d: { bits: 4, groupSize: 32, offset: "zeroPoint", bias: true, input: { kind: "dynamic" } },
      e: { bits: 8, groupSize: 32, bias: false, input: { kind: "dynamic" } },
      f: { dtype: "float16", bits: 16, bias: true, input: { kind: "float" } },
      g: { dtype: "bfloat16", bits: 16, bias: false, input: { kind: "float" } },
    },
    ["bn"],
  ),
);
const reference = openReference();
/** Layers of all formats with groups, of halves, and a table that is tied to a head; the model has one of float32 besides. */
const formats = ["int4", "int4Minimum", "int4ZeroPoint", "int8Groups", "float16", "int8"] as const;
const floatModel = (device: Device) => {
  const layers = formats.map(() => new Linear(32, 2, { device, bias: false }));
  const table = new Embedding(2, 32, { device });
  layers[1].weight = table.weight;
  return new Sequential(...layers, table, new Linear(32, 2, { device }));
};
const quantizedModel = floatModel(reference);
formats.forEach((format, i) => {
  const { scaled, offset, bits } = weightFormats[format];
  const factors = { scales: Float32Array.of(0.5, 0.25), ...(scaled === "group" && { groupSize: 32 }) };
  const values = bits === 16 ? new Uint16Array(64) : bits === 4 ? new Uint8Array(32) : new Int8Array(64);
  const layer = QuantizedLinear.fromWeight(
    {
      ...{ format, shape: [2, 32], values },
      ...(scaled && factors),
      ...(offset === "minimum" && { minimums: Float32Array.of(-1, 1) }),
      ...(offset === "zeroPoint" && { zeroPoints: Uint8Array.of(3, 15) }),
    },
    { device: reference },
  );
  replaceModule(quantizedModel, `${i}`, layer);
  if (i === 1) replaceModule(quantizedModel, `${formats.length}`, new QuantizedEmbedding(layer.deviceWeight));
});
const quantized = await quantizedState(quantizedModel);
const quantizedFile = writeSafetensors(quantized.tensors, quantized.metadata);
/** The file with its record, which is JSON inside the header's JSON, changed: byte changes rarely leave both whole. */
const withRecord = (random: () => number) => {
  const { quantization } = quantized.metadata;
  try {
    const damaged = JSON.stringify(mutateJson(JSON.parse(quantization), random)) ?? "";
    return writeSafetensors(quantized.tensors, { quantization: damaged });
  } catch {
    // A value nested too deeply to be written, or no text for a header.
    return quantizedFile.subarray(1);
  }
};
const meta = openMeta();
const configs = [
  { model_type: "gpt2", n_layer: 2, n_embd: 8, n_head: 2, vocab_size: 10, n_positions: 16 },
  {
    model_type: "llama",
    num_hidden_layers: 2,
    hidden_size: 8,
    num_attention_heads: 2,
    vocab_size: 10,
    max_position_embeddings: 16,
    intermediate_size: 16,
  },
];
const images = writeSafetensors([
  ["images", { dtype: "uint8", shape: [1, 1, 2, 2], data: Uint8Array.of(1, 2, 3, 4) }],
  ["labels", { dtype: "int32", shape: [1], data: Int32Array.of(1) }],
]);

const text = (parse: (text: string) => unknown) => (input: string) => {
  parse(input);
  return 0;
};

export const readers: readonly Reader[] = [
  {
    name: "safetensors",
    input: safetensors(files),
    read: (file: Uint8Array) => sizeOf(readSafetensors(file).tensors.values()),
    most: (n) => 2 * n,
  },
  {
    // A float of 8 bits becomes four bytes.
    name: "safetensors, in parts",
    input: (random) => safetensors([withDTypes(one(random, files), random)])(random),
    read: readInParts(openSafetensors),
    most: (n) => 4 * n,
  },
  {
    name: "safetensors index",
    input: json([index]),
    read: (text: string) => parseIndex(new TextEncoder().encode(text), { op: "openSafetensors" }).size,
    most: (n) => n,
  },
  {
    // Blocks of four bits become float32.
    name: "gguf",
    input: binary([gguf]),
    read: readInParts(openGguf),
    most: (n) => 8 * n,
  },
  {
    // Views of one storage are values each.
    name: "torch.save",
    input: binary(torch),
    share: 0.1,
    read: readInParts(openTorch),
    most: (n) => 8 * n,
  },
  {
    name: "idx",
    input: binary(idxFiles),
    read: async (file: Uint8Array) => (await readIdx(file)).data.byteLength,
    most: (n) => n,
  },
  {
    name: "idx, gzip",
    input: binary(idxFiles.map((file) => gzipSync(file))),
    share: 0.02,
    read: async (file: Uint8Array) => (await readIdx(file)).data.byteLength,
    most: (n) => 1032 * n,
  },
  {
    // A label becomes four bytes.
    name: "cifar-10",
    input: binary([cifar.subarray(0, 3073), cifar]),
    share: 0.1,
    read: async (file: Uint8Array) => sizeOf(Object.values(await readCifar10(file))),
    most: (n) => 2 * n,
  },
  {
    name: "checkpoint file",
    input: safetensors([checkpoint]),
    read: (file: Uint8Array) => sizeOf(decode(readSafetensors(file)).tensors.values()),
    most: (n) => 2 * n,
  },
  {
    name: "checkpoint state",
    input: json([state]),
    read: text((input) => parseState(parseJson(input))),
    most: () => 0,
  },
  { name: "quantization record", input: json([record]), read: text(parseRecord), most: () => 0 },
  {
    // A model for each run. A weight has float32 scales, and is there as it is read and as it is packed.
    name: "quantized file",
    input: (random) => (random() < 0.5 ? withRecord(random) : safetensors([quantizedFile])(random)),
    share: 0.05,
    async read(file: Uint8Array) {
      const { tensors: given, metadata } = readSafetensors(file);
      const before = reference.memory().liveBytes;
      const used = () => reference.memory().liveBytes - before;
      let bytes = 0;
      try {
        const model = await loadQuantized(floatModel(meta), { tensors: given, metadata }, reference);
        bytes = used();
        model.dispose();
      } catch (error) {
        if (used() === 0) throw error;
      }
      if (used() !== 0) throw new Error(`${used()} bytes are left on the device`);
      return bytes;
    },
    most: (n) => 8 * n,
  },
  {
    name: "bench record",
    input: json([{ format: "wattgrad-bench-1", rows: [row, { ...row, case: "d", cpuTimes: null }] }]),
    read: text(parseBenchFile),
    most: () => 0,
  },
  { name: "config.json", input: json(configs), read: text(parseConfig), most: () => 0 },
  {
    name: "images for a page",
    input: safetensors([images]),
    read: (file: Uint8Array) => sizeOf(Object.values(unpackImages(file))),
    most: (n) => 2 * n,
  },
  {
    name: "nvidia-smi",
    input: json(["0, 2026/11/25 09:03:11.204, 61.25"]),
    read: text((line) => parseNvidiaLine(line.slice(1, -1))),
    most: () => 0,
  },
];

/** Text that is no JSON is refused before the state is looked at. */
function parseJson(input: string): unknown {
  try {
    return JSON.parse(input);
  } catch {
    return undefined;
  }
}
