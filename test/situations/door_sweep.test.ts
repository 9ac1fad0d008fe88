/**
 * Every public function and constructor with wrong values of each kind for each argument: it works or throws a WattgradError, never a
 * TypeError of the engine, a trap, a hang, or a result of NaN.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as adapters from "../../src/adapters/index.js";
import * as data from "../../src/data/index.js";
import * as energy from "../../src/energy/index.js";
import * as formats from "../../src/formats/index.js";
import * as generation from "../../src/generation/index.js";
import * as hub from "../../src/hub/index.js";
import * as wg from "../../src/index.js";
import * as models from "../../src/models/index.js";
import * as nn from "../../src/nn/index.js";
import * as optim from "../../src/optim/index.js";
import * as pipelines from "../../src/pipeline/index.js";
import * as profile from "../../src/profile/index.js";
import * as quantization from "../../src/quantization/index.js";
import * as text from "../../src/text/index.js";
import * as train from "../../src/train/index.js";
import { devices, reference } from "../devices.js";

type Call = (...args: never[]) => unknown;
/** Valid arguments, made anew for each call. */
type Arguments = () => readonly unknown[];

const { device } = devices[1];
const directory = mkdtempSync(join(tmpdir(), "wattgrad-door-"));
afterAll(() => {
  wg.setDefaultDevice(undefined);
  rmSync(directory, { recursive: true, force: true });
});
beforeAll(() => wg.setDefaultDevice(device));

const vector = () => wg.tensor([0.5, -1, 2, 0.25]);
const matrix = () => wg.tensor([0.5, -1, 2, 0.25], { shape: [2, 2] });
const images = () => wg.ones([1, 2, 4, 4]);
const index = () => wg.tensor(new Int32Array([1, 0]));
const int8 = (shape: number[]) => wg.zeros(shape, { dtype: "int8" });
const parameter = () => nn.parameter(wg.ones([2]));
const trained = () => {
  const x = parameter();
  wg.backward(x.sum());
  return x;
};
const host = (dtype: "float32" | "int32" | "uint8", shape: number[]) => {
  const size = shape.reduce((a, b) => a * b, 1);
  const array = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array }[dtype];
  return { dtype, shape, data: new array(size) };
};
const dataset = () => new data.TensorDataset(host("float32", [4, 2]), host("int32", [4]));
const loader = () => new data.DataLoader(dataset(), { batchSize: 2 });
const net = () => new nn.Sequential(new nn.Linear(2, 2), new nn.ReLU());
const file = () => formats.writeSafetensors(new Map([["x", host("float32", [2])]]));
const cache = () => nn.keyValueCache({ layers: 1, batch: 1, heads: 1, capacity: 2, headDim: 2, device });
const row = () => wg.ones([1, 1, 1, 2]);
const figure = () => ({
  joules: 1,
  kind: "assumed",
  method: "m",
  scope: "s",
  seconds: 1,
  idleSubtracted: false,
});
const quantized = async () => {
  const model = net();
  await quantization.quantize(model, quantization.int8Dynamic());
  return model;
};
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const published = () => hub.folder(here("../fixtures/models/smollm2"));
const tokenizerParts = () => ({
  label: "words",
  tokenizer: JSON.parse(readFileSync(here("../fixtures/models/smollm2/tokenizer.json"), "utf8")),
  config: {},
  template: undefined,
});
const stored = () => {
  const data = Float32Array.of(0, 1, 2, 3);
  async function* pieces() {
    yield data;
  }
  return { dtype: "float32", shape: [4], data: async () => data, pieces };
};
let aLoadedModel: nn.Module;
let aSequenceModel: models.Pretrained;
let aTokenizer: text.Tokenizer;
let aProfile: profile.Profile;
let aState: quantization.QuantizedState;
let aQuantizedNet: nn.Module;
let aProgram: NonNullable<ReturnType<wg.JitFunction<[wg.Tensor], wg.Tensor>["program"]>>;
beforeAll(async () => {
  aSequenceModel = await models.fromPretrained(hub.folder(here("../fixtures/models/bert_sequence")), {
    device,
  });
  aTokenizer = await text.loadTokenizer(published());
  const adapter = adapters.lora(net(), { targets: ["0"] });
  await adapters.saveAdapter(adapter, join(directory, "adapter"));
  aProfile = await profile.profile(device, () => vector().mul(2), { repetitions: 1 });
  aQuantizedNet = await quantized();
  aLoadedModel = (await models.fromPretrained(published(), { device })).model;
  const doubled = wg.jit((x: wg.Tensor) => x.mul(2));
  doubled(vector());
  aProgram = doubled.program(vector())!;
  aState = await quantization.quantizedState(aQuantizedNet);
});

const tensorOp: Arguments = () => [vector()];
const twoTensors: Arguments = () => [vector(), vector()];
const reduction: Arguments = () => [matrix(), 1, { keepdim: true }];
const loss: Arguments = () => [vector(), vector(), { reduction: "sum" }];
const names = (list: string, args: Arguments) =>
  Object.fromEntries(list.split(" ").map((name) => [name, args]));
const none: Arguments = () => [];

/** Bases that nobody makes himself, what takes no arguments, and large models that are another's like. */
const left = new Set([
  ..."WattgradError Tensor Module Optimizer QuantizedLayer QuantizedConv2d QuantizedEmbedding QuantizedLinear".split(
    " ",
  ),
  ..."resnet18 resnet34 resnet50 resnet101 CnnLarge EnergyMeter EnergyWindow openMeta openDry".split(" "),
  ..."defaultDevice constant onlyWhile onReplay onUndo jit listDevices LoraAdapter LoraLinear Constraint".split(
    " ",
  ),
]);

const table: Readonly<Record<string, Arguments>> = {
  advanceCache: () => [cache(), 1],
  cachedAttention: () => [[row(), row(), row()], cache().layers[0], cache(), 1, { window: 1 }],
  keyValueCache: () => [{ layers: 1, batch: 1, heads: 1, capacity: 2, headDim: 2, device }],
  ...names(
    "abs neg sign exp expm1 log log1p sqrt rsqrt reciprocal sin cos tanh sigmoid erf relu square floor",
    tensorOp,
  ),
  ...names("ceil round trunc isnan logicalNot silu softplus gelu zerosLike onesLike", tensorOp),
  ...names("add sub mul div pow mod maximum minimum eq ne lt le gt ge", twoTensors),
  ...names("logicalAnd logicalOr logicalXor", twoTensors),
  ...names("sum mean max min prod any all logsumexp norm2 variance std", reduction),
  ...names("mseLoss l1Loss binaryCrossEntropyWithLogits", loss),
  ...names("crossEntropy nllLoss", () => [matrix(), index(), { ignoreIndex: -1 }]),
  ...names("ReLU Tanh Sigmoid SiLU Identity", none),
  ...names("CrossEntropyLoss MSELoss", () => [{ reduction: "sum" }]),
  ...names("argmax argmin", () => [matrix(), 0, { keepdim: true }]),
  ...names("softmax logSoftmax unsqueeze squeeze", () => [matrix(), 0]),
  ...names("zeros ones rand randn", () => [[2, 2], {}]),
  Cnn: () => [{ device: quantization.openMeta() }],
  ...names("decodeFloat16 decodeBfloat16", () => [new Uint16Array(2), new Float32Array(2)]),
  ...names("encodeFloat16 encodeBfloat16", () => [new Float32Array(2)]),
  ...names("fanIn fanOut", () => [[2, 3]]),
  ...names("kaimingUniform xavierUniform", () => [[2, 3], device]),
  ...names("commit memory compileCount totalCost setDefaultDevice", () => [device]),
  ...names("realize warmup", () => [[vector().add(1)]]),
  ...names("Adam AdamW SGD", () => [[parameter()], { lr: 0.1 }]),
  ...names("int8Dynamic int8WeightOnly", () => [{ weightBits: 7 }]),
  ...names("loadMnist loadCifar10", () => [directory, { split: "train" }]),
  ...names("lossReached timeLimit joules formatJoules linearWarmup manualSeed Generator", () => [3]),
  ...names("conv2d convTranspose2d", () => [images(), wg.ones([2, 2, 1, 1]), wg.ones([2]), { stride: 1 }]),
  ...names("BasicBlock Bottleneck", () => [4, 4, 1, {}]),
  ...names("avgPool2d maxPool2d", () => [images(), 2, { stride: 1 }]),
  ...names("AvgPool2d MaxPool2d", () => [2, { stride: 1 }]),
  ...names("loadTokenizer", () => [published(), {}]),
  ...names("folder modelSource", () => [directory, {}].slice(0, 1)),
  accuracy: () => [matrix(), index()],
  files: () => [new Map([["config.json", new Uint8Array(2)]])],
  generate: () => [
    aLoadedModel,
    { inputIds: [5, 6], maxNewTokens: 2, stop: "x", tokenizer: aTokenizer, seed: 1 },
  ],
  hub: () => ["org/name", { revision: "main", cache: false }],
  jsonSchema: () => [{ type: "object" }],
  loadAdapter: () => [net(), join(directory, "adapter")],
  lora: () => [net(), { targets: ["0"], rank: 2 }],
  openFileOf: () => [published(), "config.json"],
  pipeline: () => [
    "text-classification",
    { ...aSequenceModel, tokenizer: aTokenizer },
    { batchSize: 2, onTruncate: () => {} },
  ],
  regex: () => ["[a-z]+"],
  saveAdapter: () => [adapters.lora(net(), { targets: ["0"] }), join(directory, "saved-adapter"), {}],
  StreamingDetokenizer: () => [(ids: readonly number[]) => ids.join(" ")],
  Tokenizer: () => [tokenizerParts()],
  url: () => ["http://127.0.0.1:9/model", { cache: false }],
  adaptiveAvgPool2d: () => [images(), 1],
  AdaptiveAvgPool2d: () => [1],
  arange: () => [0, 6, 2, {}],
  assign: () => [parameter(), wg.ones([2])],
  attainable: () => [{ peakFlops: 1, peakBandwidth: 1 }, 1],
  backward: () => [parameter().sum(), { createGraph: false }],
  batchNorm: () => [images(), wg.zeros([2]), wg.ones([2]), wg.ones([2]), wg.zeros([2]), { eps: 1 }],
  BatchNorm2d: () => [2, { eps: 1 }],
  bernoulli: () => [wg.full([2], 0.5), {}],
  bucketLengths: () => [20],
  carbon: () => [figure(), { gramsPerKwh: 1, source: "s" }],
  cast: () => [vector(), "int32"],
  causalTexts: () => [[[1, 2, 3]], { contextLength: 2 }],
  MaskedTexts: () => [[[1, 2, 3]], { contextLength: 2, mask: 0, vocabulary: 4 }],
  CharGpt: () => [{ width: 4, numHeads: 2, numLayers: 1, context: 4, vocabulary: 4 }],
  CharTokenizer: () => [["a", "b"]],
  checkpoint: () => [(x: wg.Tensor) => x.mul(2), parameter()],
  chromeTrace: () => [aProfile],
  CifarResNet: () => [{ depth: 8, device: quantization.openMeta() }],
  clamp: () => [vector(), { min: 0 }],
  clipGradNorm: () => [[trained()], 1],
  clipGradValue: () => [[trained()], 1],
  compareModels: () => [net(), aQuantizedNet, dataset(), { loss: wg.crossEntropy }],
  composite: () => ["name", () => vector()],
  concat: () => [[vector(), vector()], 0],
  conv1d: () => [wg.ones([1, 2, 4]), wg.ones([2, 2, 1]), wg.ones([2]), { stride: 1 }],
  Conv2d: () => [2, 2, 1, { stride: 1 }],
  convert: () => [net()],
  cosine: () => [{ steps: 3 }],
  cost: () => [device, () => vector().mul(2)],
  DataLoader: () => [dataset(), { batchSize: 2 }],
  dequantize: () => [int8([2]), { scale: 1 }],
  describeEnergy: () => [figure()],
  dropout: () => [vector(), 0.5, { training: true }],
  Dropout: () => [0.5],
  efficiency: () => [figure(), { samples: 1 }],
  embedding: () => [matrix(), index()],
  Embedding: () => [2, 2, {}],
  evaluate: () => [{ model: net(), data: loader(), loss: wg.crossEntropy }],
  expand: () => [vector(), [2, 4]],
  fakeQuantize: () => [vector(), 0.1, { zeroPoint: 1 }],
  fileState: () => [aLoadedModel],
  fit: () => {
    const model = net();
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 });
    return [{ model, optimizer, train: loader(), loss: wg.crossEntropy, epochs: 1 }];
  },
  flatten: () => [matrix(), 0, 1],
  Flatten: () => [0, 1],
  flip: () => [matrix(), 0],
  formatProfile: () => [aProfile],
  fromPretrained: () => [published(), { device }],
  full: () => [[2], 1, {}],
  gather: () => [vector(), 0, index()],
  gelu: () => [vector(), { approximate: "tanh" }],
  GELU: () => [{ approximate: "tanh" }],
  grad: () => {
    const x = parameter();
    return [x.sum(), [x], { createGraph: false }];
  },
  groupScales: () => [wg.ones([8, 1])],
  hostTensors: () => [new Map([["x", vector()]])],
  ImageDataset: () => [host("uint8", [2, 1, 2, 2]), host("int32", [2]), { mean: 0 }],
  indexSelect: () => [matrix(), 0, index()],
  initialize: () => [parameter(), wg.ones([2])],
  int4WeightOnly: () => [{ groupSize: 32, asymmetric: true }],
  float16WeightOnly: () => [],
  bfloat16WeightOnly: () => [],
  int8Static: () => [{ data: [matrix()] }, { weightBits: 7 }],
  isQuantizable: () => [new nn.Linear(2, 2), quantization.int8Dynamic()],
  isQuantizedFile: () => [{}],
  joinHeads: () => [wg.ones([1, 2, 3, 4])],
  kaimingNormal: () => [[2, 3], device, { mode: "fanIn" }],
  layerNorm: () => [matrix(), [2], wg.ones([2]), wg.ones([2]), 1e-5],
  LayerNorm: () => [2, { eps: 1 }],
  leaf: () => [device, "float32", [2], new Float32Array(2)],
  leakyRelu: () => [vector(), 0.1],
  linear: () => [matrix(), matrix(), wg.ones([2])],
  Linear: () => [2, 2, {}],
  loadQuantized: () => [net(), aState, device],
  LRScheduler: () => [new optim.SGD([parameter()]), optim.cosine({ steps: 3 })],
  matmul: () => [matrix(), matrix()],
  memoryPlan: () => [published(), { device }],
  measure: () => [() => 1, {}],
  Mlp: () => [{ sizes: [2, 2] }],
  ModuleList: () => [[new nn.ReLU()]],
  MultiheadAttention: () => [4, 2, {}],
  narrow: () => [vector(), 0, 1, 2],
  noGrad: () => [() => 1],
  oneHot: () => [index(), 3],
  openDevice: () => ["reference", {}],
  openGguf: () => [readFileSync(here("../formats/gguf/tiny.gguf")), {}],
  openMeter: () => [{}],
  operationEnergy: () => [{ flops: 1, bytes: 1 }, 1],
  packWeight: () => [int8([8, 32]), { bits: 8 }],
  pad: () => [vector(), [[1, 1]], 0],
  padSequences: () => [[[1, 2], [3]], { value: 0 }],
  parameter: () => [wg.ones([2])],
  patience: () => [{ epochs: 2 }],
  permute: () => [matrix(), [1, 0]],
  prepare: () => [net(), quantization.int8Dynamic(), {}],
  printable: () => ["text"],
  programCost: () => [device, aProgram],
  profile: () => [device, () => vector().mul(2), { repetitions: 1 }],
  openSafetensors: () => [file(), {}],
  openSource: () => [file(), {}],
  openNpz: () => [readFileSync(here("../formats/numpy/plain.npz")), {}],
  openTorch: () => [readFileSync(here("../formats/torch/state.pt")), {}],
  quantize: () => [net(), quantization.int8Dynamic(), {}],
  quantizedConv2d: () => [int8([1, 4, 2, 2]), wg.packWeight(int8([8, 4, 1, 1])), { scales: wg.ones([8]) }],
  quantizedLinear: () => [int8([1, 4]), wg.packWeight(int8([8, 4])), { scales: wg.ones([8]) }],
  quantizedState: () => [aQuantizedNet],
  quantizeDynamic: () => [matrix(), 1, { levels: 7 }],
  quantizePerTensor: () => [vector(), { scale: 1 }],
  randint: () => [0, 3, [2], {}],
  randomShift: () => [dataset(), { pixels: 1, seed: 0 }],
  readCifar10: () => [new Uint8Array(3073)],
  readExact: () => [vector()],
  readIdx: () => [new Uint8Array([0, 0, 8, 1, 0, 0, 0, 1, 7]), {}],
  readSafetensors: () => [file()],
  saveSafetensors: () => [join(directory, "saved"), new Map([["x", host("float32", [2])]]), {}, {}],
  reshape: () => [vector(), [2, 2]],
  ResNet: () => [models.BasicBlock, [1, 1, 1, 1], { device: quantization.openMeta() }],
  RuntimeScalar: () => [1, "float32"],
  RMSNorm: () => [2, { eps: 1 }],
  RNN: () => [2, 2, { numLayers: 1, nonlinearity: "relu" }],
  ...names("GRU LSTM", () => [2, 2, { bidirectional: true, dropout: 0.5 }]),
  RNNCell: () => [2, 2, { nonlinearity: "relu" }],
  ...names("GRUCell LSTMCell", () => [2, 2, { bias: false }]),
  roofline: () => ["no device"],
  scalar: () => [new wg.RuntimeScalar(1), device],
  scaledDotProductAttention: () => [matrix(), matrix(), matrix(), { causal: true }],
  scatterAdd: () => [vector(), 0, index(), wg.ones([2])],
  Sequential: () => [new nn.ReLU()],
  setDebug: () => [{ numerics: false }],
  slice: () => [vector(), 0, 0, 2, 1],
  sliceScatter: () => [vector(), wg.ones([2]), 0, 1],
  Softmax: () => [0],
  split: () => [vector(), 2, 0],
  splitHeads: () => [wg.ones([1, 2, 4]), 2],
  stack: () => [[vector(), vector()], 0],
  stepDecay: () => [{ every: 2 }],
  subset: () => [dataset(), 0, 2],
  summary: () => [net(), [1, 2], {}],
  tensor: () => [[1, 2], {}],
  TensorDataset: () => [host("float32", [2])],
  TextDataset: () => [new Int32Array(4), 2, { stride: 1 }],
  transpose: () => [matrix(), 0, 1],
  undoRotaryPermutation: () => [stored(), 1],
  uniformInit: () => [[2], 1, device],
  where: () => [vector().gt(0), vector(), vector()],
  writeFileAtomic: () => [join(directory, "x"), new Uint8Array(1)],
  writeSafetensors: () => [new Map([["x", host("float32", [2])]]), {}, {}],
};

/** Of what a call returns, functions that do the work of it. */
async function run(result: unknown): Promise<void> {
  const { finish } = (result ?? {}) as Partial<generation.Generation>;
  if (typeof finish === "function") await finish.call(result);
  if (result instanceof text.Tokenizer) result.encode("the cat");
}

const wrongValues: Readonly<Record<string, () => unknown>> = {
  undefined: () => undefined,
  null: () => null,
  "a string": () => join(directory, "text"),
  "a number": () => 3,
  NaN: () => Number.NaN,
  "an empty object": () => ({}),
  "an unknown option": () => ({ nothingOfThisName: 1 }),
  "an empty array": () => [],
  "an array of strings": () => ["a"],
  "a promise": () => Promise.resolve(1),
  "a function": () => () => undefined,
  "a module": () => new nn.ReLU(),
  "a tensor": () => wg.ones([3]),
  "a tensor of another device": () => wg.ones([4], { device: reference }),
  "a disposed tensor": () => {
    const gone = vector();
    gone.dispose();
    return gone;
  },
};

const subpaths = {
  ...{ wg, nn, optim, data, train, quantization, models, formats, energy, profile },
  ...{ adapters, generation, hub, pipelines, text },
};
const functions = new Map<string, Call>();
for (const exported of Object.values(subpaths)) {
  for (const [name, value] of Object.entries(exported)) {
    const isError = (value as { prototype?: unknown }).prototype instanceof Error;
    if (typeof value === "function" && !isError && !left.has(name)) functions.set(name, value as Call);
  }
}

/** A call's outcome, with everything that it left to be computed. */
async function outcome(fn: Call, args: readonly unknown[]): Promise<unknown> {
  const isClass = /^class\b/.test(Function.prototype.toString.call(fn));
  const result = await (isClass ? Reflect.construct(fn, args) : Reflect.apply(fn, undefined, args));
  await run(result);
  await awaitAll(result);
  // Files that were opened.
  const { close, size, tensors } = (result ?? {}) as Partial<formats.ByteSource & formats.SafetensorsFile>;
  if (typeof close === "function" && (size ?? tensors) !== undefined) await close.call(result);
  return result;
}

async function awaitAll(value: unknown, depth = 0): Promise<void> {
  if (typeof value === "number" && Number.isNaN(value)) throw new Error("the result is NaN");
  if (value instanceof wg.Tensor) {
    for (const extent of value.shape) {
      if (!Number.isSafeInteger(extent) || extent < 0) throw new Error(`a shape of ${value.shape}`);
    }
    if (value.device.name !== "meta") await value.data();
  } else if (value instanceof nn.Module) {
    for (const tensor of value.stateDict().values()) await awaitAll(tensor);
    String(value);
  } else if (value instanceof wg.RuntimeScalar || isDevice(value)) {
    // Holds what it was given.
  } else if (depth < 3 && typeof value === "object" && value !== null) {
    for (const part of Array.isArray(value) ? value : Object.values(value)) await awaitAll(part, depth + 1);
  }
}

async function failureOf(name: string, args: readonly unknown[]): Promise<unknown> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("it hangs")), 5000);
  });
  try {
    await Promise.race([outcome(functions.get(name)!, args), limit]);
    return undefined;
  } catch (error) {
    return error;
  } finally {
    clearTimeout(timer);
    wg.setDefaultDevice(device);
  }
}

describe("the table", () => {
  it("has every public function", () => {
    expect([...functions.keys()].filter((name) => !Object.hasOwn(table, name))).toEqual([]);
    expect(Object.keys(table).filter((name) => !functions.has(name))).toEqual([]);
  });
});

describe("every argument", () => {
  it.each([...functions.keys()])("%s", async (name) => {
    const found: string[] = [];
    const { length } = table[name]();
    for (let position = 0; position < length; position++) {
      for (const [kind, make] of Object.entries(wrongValues)) {
        const args = table[name]().map((value, i) => (i === position ? make() : value));
        const failure = await failureOf(name, args);
        if (failure === undefined || failure instanceof wg.WattgradError) continue;
        found.push(`argument ${position + 1}: ${kind}: ${failure}`);
      }
    }
    expect(found).toEqual([]);
  });

  it("valid ones are taken", async () => {
    const refused = new Set(["loadMnist", "loadCifar10", "convert", "roofline", "readCifar10"]);
    for (const name of functions.keys()) {
      const failure = await failureOf(name, table[name]());
      if (!refused.has(name)) expect(failure, name).toBeUndefined();
    }
  });
});

describe("every option", () => {
  it.each([...functions.keys()])("%s", async (name) => {
    const found: string[] = [];
    const args = table[name]();
    for (const [position, options] of args.entries()) {
      if (Object.prototype.toString.call(options) !== "[object Object]" || !isPlain(options)) continue;
      for (const option of Object.keys(options)) {
        for (const [kind, make] of Object.entries(wrongValues)) {
          const given = table[name]().map((value, i) =>
            i === position ? { ...(value as object), [option]: make() } : value,
          );
          const failure = await failureOf(name, given);
          if (failure === undefined || failure instanceof wg.WattgradError) continue;
          found.push(`${option}: ${kind}: ${failure}`);
        }
      }
    }
    expect(found).toEqual([]);
  });
});

function isDevice(value: unknown): boolean {
  return typeof value === "object" && value !== null && "allocate" in value;
}

function isPlain(value: unknown): value is object {
  return Object.getPrototypeOf(value) === Object.prototype;
}
