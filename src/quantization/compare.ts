/** A quantized model beside the float one it was made of: accuracy, noise of each layer, bytes, time, memory. */

import { aCount, aFunction, anObject, check, checkOptions, type Kinds } from "../core/check.js";
import { itemSize } from "../core/dtype.js";
import { DataLoader, type Dataset } from "../data/index.js";
import type { Device } from "../device/device.js";
import { noGrad, Tensor } from "../graph/tensor.js";
import { Identity } from "../nn/activation.js";
import { requireModule } from "../nn/check.js";
import type { Module } from "../nn/module.js";
import { BatchNorm2d } from "../nn/normalization.js";
import { narrow } from "../ops/slice.js";
import { readTensor } from "../runtime/host_data.js";
import { jit } from "../runtime/jit.js";
import { realize } from "../runtime/realize.js";
import { type Evaluation, evaluate } from "../train/evaluate.js";
import type { Metric } from "../train/metrics.js";
import type { Loss } from "../train/objective.js";
import { QuantizationError } from "./errors.js";
import { QuantizedLayer } from "./layer.js";
import { SignalToNoise } from "./snr.js";
import { evaluating, infer, leafModules, watching } from "./trace.js";

/** Options of `compareModels`. */
export interface CompareOptions {
  /** Loss of output and target, a mean over the batch. */
  readonly loss: Loss;
  /** Metrics by name. Default none. */
  readonly metrics?: Readonly<Record<string, Metric>>;
  /** Samples per batch. Default 64. */
  readonly batchSize?: number;
}

const compareOptions: Kinds<CompareOptions> = { loss: aFunction, metrics: anObject, batchSize: aCount };

/** Results of one of the two models. */
export interface ModelFigures {
  readonly loss: number;
  readonly metrics: Readonly<Record<string, number>>;
  /** Bytes of parameters and buffers. */
  readonly bytes: number;
  /** Median milliseconds of one forward pass with one sample, and with a batch. */
  readonly latency: { readonly sample: number; readonly batch: number };
  /** Peak memory of the model's device; null if both models share it. */
  readonly peakBytes: number | null;
}

/** Quantization noise of one layer. */
export interface LayerNoise {
  readonly name: string;
  /** Signal-to-noise ratio of its output in decibels, with the noise of all earlier layers. */
  readonly snr: number;
}

/** The result of `compareModels`. */
export interface Comparison {
  readonly samples: number;
  readonly batchSize: number;
  readonly float: ModelFigures;
  readonly quantized: ModelFigures;
  readonly layers: readonly LayerNoise[];
}

/** Passes that a latency is the median of. */
const timedPasses = 15;
/** Batches that noise is measured on. */
const noiseBatches = 4;

/**
 * Runs a float model and its quantized version on all samples: loss, metrics, noise per layer, size, latency. Models on separate
 * devices (`openDevice` twice) have separate peak memories.
 *
 * @example
 * const model = new Sequential(new Linear(32, 4));
 * const quantized = new Sequential(new Linear(32, 4));
 * await quantized.loadStateDict(model.stateDict());
 * await quantize(quantized, int8Dynamic());
 * const x = { dtype: "float32", shape: [4, 32], data: new Float32Array(128).fill(1) } as const;
 * const y = { dtype: "int32", shape: [4], data: new Int32Array(4) } as const;
 * const { float, samples } = await compareModels(model, quantized, new TensorDataset(x, y), { loss: crossEntropy });
 * samples; // 4
 * float.bytes; // 528
 *
 * @throws QuantizationError if the second model has no quantized layers.
 */
export async function compareModels(
  float: Module,
  quantized: Module,
  dataset: Dataset,
  options: CompareOptions,
): Promise<Comparison> {
  const op = "compareModels";
  requireModule(op, float, "the first model");
  requireModule(op, quantized, "the second model");
  const { batchSize = 64 } = checkOptions(op, options ?? null, compareOptions);
  const { loss, metrics = {} } = options;
  check(op, "loss", loss, aFunction);
  const layers = [...quantized.namedModules()].filter(([, module]) => module instanceof QuantizedLayer);
  if (layers.length === 0) {
    throw new QuantizationError("the second model has no quantized layers", { op });
  }
  const sides = [float, quantized].map((model): Side => {
    const device = deviceOf(model);
    const loader = () => new DataLoader(dataset, { device, batchSize });
    return { model, device, loader };
  });
  const evaluations: Evaluation[] = [];
  for (const { model, loader } of sides)
    evaluations.push(await evaluate({ model, data: loader(), loss, metrics }));
  const noise = await measureNoise(sides[0], sides[1]);
  const latencies = await measureLatencies(sides);
  const apart = sides[0].device !== sides[1].device;
  const [first, second] = sides.map(
    ({ model, device }, i): ModelFigures => ({
      loss: evaluations[i].loss,
      metrics: evaluations[i].metrics,
      bytes: stateBytes(model),
      latency: latencies[i],
      peakBytes: apart ? device.memory().peakBytes : null,
    }),
  );
  return {
    samples: evaluations[0].samples,
    batchSize: Math.min(batchSize, dataset.length),
    float: first,
    quantized: second,
    layers: noise,
  };
}

interface Side {
  readonly model: Module;
  readonly device: Device;
  readonly loader: () => DataLoader;
}

function deviceOf(model: Module): Device {
  for (const tensor of model.stateDict().values()) return tensor.device;
  throw new QuantizationError("a model without state has no device", { op: "compareModels" });
}

/** Bytes of a model's parameters and buffers. */
export function stateBytes(model: Module): number {
  const tensors = new Set(model.stateDict().values());
  return [...tensors].reduce((sum, { dtype, size }) => sum + size * itemSize[dtype], 0);
}

/** What both models' modules gave for a batch, by name; all in memory. */
async function outputsOf({ model }: Side, input: Tensor): Promise<Map<string, Tensor>> {
  const outputs = new Map<string, Tensor>();
  await evaluating(model, () =>
    watching(
      leafModules(model),
      (name, _, __, output) => {
        if (output instanceof Tensor) outputs.set(name, output);
      },
      async () => {
        infer(model, input);
      },
    ),
  );
  realize([...new Set(outputs.values())]);
  return outputs;
}

async function measureNoise(float: Side, quantized: Side): Promise<LayerNoise[]> {
  const names = [...quantized.model.namedModules()].flatMap(([name, module]) =>
    module instanceof QuantizedLayer ? [name] : [],
  );
  const counterparts = await findCounterparts(float, quantized, names);
  const ratios = new Map(names.map((name) => [name, new SignalToNoise()]));
  const batches = quantized.loader()[Symbol.asyncIterator]();
  let seen = 0;
  for await (const [input] of float.loader()) {
    const { value } = await batches.next();
    const [want, got] = [await outputsOf(float, input), await outputsOf(quantized, value![0])];
    for (const name of names) {
      const [a, b] = [want.get(counterparts.get(name)!), got.get(name)];
      // A module that a batch does not reach has no output.
      if (a && b) await ratios.get(name)!.add(a, b);
    }
    for (const tensor of [...want.values(), ...got.values()]) tensor.storage?.dispose();
    if (++seen === noiseBatches) break;
  }
  await batches.return?.();
  return names.map((name) => ({ name, snr: ratios.get(name)!.decibels }));
}

/** The module of the float model whose output a quantized layer's is to be compared with: the batch norm that was folded into it. */
async function findCounterparts(
  float: Side,
  quantized: Side,
  names: readonly string[],
): Promise<Map<string, string>> {
  const counterparts = new Map(names.map((name) => [name, name]));
  const modules = new Map(quantized.model.namedModules());
  const made = new Map<Tensor, string>();
  for await (const [input] of float.loader()) {
    await evaluating(float.model, () =>
      watching(
        leafModules(float.model),
        (name, module, [x], output) => {
          if (!(output instanceof Tensor)) return;
          const conv = made.get(x as Tensor);
          const isFolded = module instanceof BatchNorm2d && modules.get(name) instanceof Identity;
          if (isFolded && conv !== undefined) counterparts.set(conv, name);
          made.set(output, name);
        },
        async () => {
          infer(float.model, input);
        },
      ),
    );
    break;
  }
  return counterparts;
}

/** In turns, so that what else the machine does hits both. */
async function measureLatencies(sides: readonly Side[]): Promise<ModelFigures["latency"][]> {
  const passes = sides.map(({ model }) => {
    const forward = jit((x: Tensor) => noGrad((): Tensor => model.forward(x)));
    return async (x: Tensor): Promise<number> => {
      const start = performance.now();
      const output = forward(x);
      await readTensor(output);
      output.storage?.dispose();
      return performance.now() - start;
    };
  });
  const batches = sides.map(({ loader }) => loader()[Symbol.asyncIterator]());
  const inputs: Tensor[] = [];
  for (const batch of batches) inputs.push((await batch.next()).value![0]);
  const results: { sample: number; batch: number }[] = sides.map(() => ({ sample: 0, batch: 0 }));
  for (const kind of ["sample", "batch"] as const) {
    const given = inputs.map((x) => (kind === "batch" ? x : narrow(x, 0, 0, 1)));
    realize(given);
    const times: number[][] = sides.map(() => []);
    for (let i = 0; i <= timedPasses; i++) {
      for (const [side, x] of given.entries()) {
        const time = await evaluating(sides[side].model, () => passes[side](x));
        // The first pass compiles.
        if (i > 0) times[side].push(time);
      }
    }
    times.forEach((list, side) => {
      results[side][kind] = list.sort((a, b) => a - b)[Math.floor(list.length / 2)];
    });
  }
  for (const batch of batches) await batch.return?.();
  return results;
}
