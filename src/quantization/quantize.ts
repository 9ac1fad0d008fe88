/** quantize: puts quantized layers in the place of a trained model's linear layers and convolutions. */

import { aFunction, aNumber, checkOptions, type Kinds } from "../core/check.js";
import { type FloatFormat, formatOf } from "../core/weight_format.js";
import type { Tensor } from "../graph/tensor.js";
import { requireModule } from "../nn/check.js";
import { Conv2d } from "../nn/conv.js";
import { Embedding } from "../nn/embedding.js";
import { Linear } from "../nn/linear.js";
import type { Module } from "../nn/module.js";
import { realize } from "../runtime/realize.js";
import { calibrate } from "./calibrate.js";
import { QuantizedConv2d } from "./conv.js";
import { QuantizedEmbedding } from "./embedding.js";
import { QuantizationError } from "./errors.js";
import { findFoldable, foldBatchNorms } from "./fold.js";
import type { InputQuantization } from "./input.js";
import type { QuantizedLayer } from "./layer.js";
import { QuantizedLinear } from "./linear.js";
import { replaceModule, replacementsOf, retire } from "./replace.js";
import { type Batches, batches, type Forward, requireScheme, type Scheme } from "./scheme.js";
import { SignalToNoise } from "./snr.js";
import { evaluating, infer, leafModules, take, watching } from "./trace.js";
import type { WeightQuantization } from "./weights.js";

/** Options of `quantize`. */
export interface QuantizeOptions<Batch = unknown> {
  /**
   * Selects layers by name and module. Default: every linear layer, every convolution if the scheme supports them, and embeddings that
   * are tied to these. Selecting an unsupported layer is an error.
   */
  readonly filter?: (name: string, module: Module) => boolean;
  /**
   * Skips layers whose outputs, given the same inputs, have a signal-to-noise ratio below this many decibels. Needs data: the
   * calibration's, or `data`.
   */
  readonly minSnr?: number;
  /** Batches for `minSnr` and for finding the batch norms that can be folded. Default: those of the calibration. */
  readonly data?: Batches<Batch>;
  /** Runs the model on a batch of `data`. Default: the calibration's, else see `Forward`. */
  readonly forward?: Forward<Batch>;
}

/** What `quantize` did with a layer. */
export interface LayerReport {
  readonly name: string;
  readonly type: "linear" | "conv2d" | "embedding";
  /** False if `minSnr` skipped it. */
  readonly quantized: boolean;
  /** Signal-to-noise ratio of its output in decibels; null if it was not measured. */
  readonly snr: number | null;
}

/** The result of `quantize`. */
export interface QuantizeReport {
  readonly layers: readonly LayerReport[];
  /** Names of the batch norms that were folded into convolutions. */
  readonly folded: readonly string[];
}

const quantizeOptions: Kinds<QuantizeOptions> = {
  filter: aFunction,
  minSnr: aNumber,
  data: batches,
  forward: aFunction,
};

/** Batches that sensitivity is measured on. */
const snrBatches = 4;

type QuantizableLayer = Linear | Conv2d | Embedding;

/**
 * Quantizes a trained model in place, for inference: replaces linear layers and convolutions by quantized ones, and folds batch norms
 * into the convolutions before them. For quantization-aware training see `prepare`. On an error the model stays unchanged.
 *
 * Linear layers and embeddings that share a tied weight share one packed weight. With int8Static, which has no embeddings, those keep
 * the weight in float32.
 *
 * @example
 * const model = new Sequential(new Linear(32, 16), new ReLU(), new Linear(16, 4));
 * const { layers } = await quantize(model, int8Dynamic(), { filter: (name) => name === "0" });
 * layers; // [{ name: "0", type: "linear", quantized: true }]
 *
 * @throws QuantizationError for layers that the scheme does not support, no layer to quantize, and unusable calibration data.
 */
export async function quantize<Batch>(
  model: Module,
  scheme: Scheme,
  options: QuantizeOptions<Batch> = {},
): Promise<QuantizeReport> {
  requireModule("quantize", model);
  requireScheme("quantize", scheme);
  checkOptions("quantize", options, quantizeOptions);
  const layers = chooseLayers(model, scheme, options.filter);
  const { calibration } = scheme.kind === "int8-static" ? scheme : {};
  if (scheme.kind === "int8-static" && calibration === undefined) {
    throw new QuantizationError("int8Static needs calibration data", {
      op: "quantize",
      hint: "int8Static({ data: loader }); int8Dynamic() needs none",
    });
  }
  const data = options.data ?? calibration?.data;
  const forward: Forward<never> | undefined = options.forward ?? calibration?.forward;
  if (options.minSnr !== undefined && data === undefined) {
    throw new QuantizationError("minSnr needs data to measure with", {
      op: "quantize",
      hint: "give { data }",
    });
  }
  const inputs = calibration ? await calibrate(model, layers, calibration) : undefined;
  const chosen = new Set<Module>(layers.values());
  const pairs = (await findFoldable(model, data, forward)).filter(({ conv }) => chosen.has(conv));
  const folded = pairs.map(({ name }) => name);
  await foldBatchNorms(model, pairs);
  const made = replacementsOf(layers, (layer, name) => replacementOf(layer, scheme, inputs?.get(name)));
  const ratios =
    data && options.minSnr !== undefined ? await measure(model, layers, made, data, forward) : undefined;
  const reports: LayerReport[] = [];
  for (const [name, layer] of layers) {
    const snr = ratios?.get(name)?.decibels ?? null;
    const quantized = snr === null || !(snr < (options.minSnr ?? Number.NEGATIVE_INFINITY));
    reports.push({ name, type: typeOf(layer), quantized, snr });
    if (quantized) replaceModule(model, name, made.get(name)!);
  }
  retire(model, [...layers.values(), ...made.values()]);
  return { layers: reports, folded };
}

function typeOf(layer: QuantizableLayer): LayerReport["type"] {
  if (layer instanceof Embedding) return "embedding";
  return layer instanceof Linear ? "linear" : "conv2d";
}

/**
 * Whether a scheme supports a module.
 *
 * @example
 * isQuantizable(new Linear(32, 4), int8Dynamic()); // true
 * isQuantizable(new Conv2d(3, 4, 3), int8WeightOnly()); // false
 */
export function isQuantizable(module: Module, scheme: Scheme): module is QuantizableLayer {
  requireScheme("isQuantizable", scheme);
  if (module instanceof Conv2d) return scheme.kind === "int8-dynamic" || scheme.kind === "int8-static";
  if (module instanceof Embedding) return scheme.kind !== "int8-static";
  return module instanceof Linear;
}

/** @throws QuantizationError */
export function chooseLayers(
  model: Module,
  scheme: Scheme,
  filter: QuantizeOptions["filter"],
): Map<string, QuantizableLayer> {
  const chosen = new Map<string, QuantizableLayer>();
  const modules = [...leafModules(model)];
  const linears = new Set(modules.map(([, module]) => module instanceof Linear && module.weight));
  const isChosen = (name: string, module: Module) => {
    if (filter) return filter(name, module);
    return isQuantizable(module, scheme) && !(module instanceof Embedding && !linears.has(module.weight));
  };
  for (const [name, module] of modules) {
    if (!isChosen(name, module)) continue;
    if (!isQuantizable(module, scheme)) {
      throw new QuantizationError(
        `${name} is a ${module.constructor.name}, which ${scheme.kind} does not take`,
        {
          op: "quantize",
          hint: "leave it out of the filter",
        },
      );
    }
    chosen.set(name, module);
  }
  if (chosen.has("")) {
    throw new QuantizationError("the model is a single layer, which cannot be replaced in place", {
      op: "quantize",
      hint: "wrap it: new Sequential(layer)",
    });
  }
  if (chosen.size === 0) {
    throw new QuantizationError(`the model has no layer that ${scheme.kind} takes`, { op: "quantize" });
  }
  return chosen;
}

/** The quantized layer; the given one stays as it is. */
function replacementOf(
  layer: QuantizableLayer,
  scheme: Scheme,
  calibrated: InputQuantization | undefined,
): QuantizedLayer {
  const quantization = quantizationOf(scheme);
  if (layer instanceof Embedding) return QuantizedEmbedding.of(layer, quantization);
  const isFloat = "dtype" in quantization || scheme.kind === "int8-weight-only";
  const input: InputQuantization = calibrated ?? { kind: isFloat ? "float" : "dynamic" };
  return layer instanceof Conv2d
    ? QuantizedConv2d.of(layer, quantization as WeightQuantization, input)
    : QuantizedLinear.of(layer, quantization, input);
}

/** How a scheme stores weights. */
function quantizationOf(scheme: Scheme): WeightQuantization | FloatFormat {
  if (scheme.weightBits === 16) {
    return formatOf(scheme.kind === "float16-weight-only" ? "float16" : "bfloat16") as FloatFormat;
  }
  if (scheme.weightBits !== 4) return { bits: scheme.weightBits };
  const { groupSize, asymmetric } = scheme;
  return { bits: 4, groupSize, asymmetric };
}

/** Each layer's output for the inputs that it gets in the float model, rounded against not rounded. */
async function measure(
  model: Module,
  layers: ReadonlyMap<string, Module>,
  made: ReadonlyMap<string, QuantizedLayer>,
  data: Batches,
  forward: Forward<never> | undefined,
): Promise<Map<string, SignalToNoise>> {
  const ratios = new Map([...layers.keys()].map((name) => [name, new SignalToNoise()]));
  await evaluating(model, async () => {
    for await (const batch of take(data, snrBatches)) {
      const pairs: { name: string; want: Tensor; got: Tensor }[] = [];
      await watching(
        layers,
        (name, _, [x], want) =>
          pairs.push({ name, want: want as Tensor, got: infer(made.get(name)!, x) as Tensor }),
        async () => {
          infer(model, batch, forward);
        },
      );
      realize(pairs.flatMap(({ want, got }) => [want, got]));
      for (const { name, want, got } of pairs) await ratios.get(name)!.add(want, got);
      for (const { want, got } of pairs) for (const tensor of [want, got]) tensor.storage?.dispose();
    }
  });
  return ratios;
}
