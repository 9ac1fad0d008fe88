/**
 * Training that expects quantization, in two steps as torchao's: `prepare` puts layers that round weights and inputs, and let
 * gradients pass, in the place of float ones; after some training `convert` makes them quantized layers.
 */

import { aFunction, checkOptions, type Kinds } from "../core/check.js";
import { requireModule } from "../nn/check.js";
import { Conv2d } from "../nn/conv.js";
import { Embedding } from "../nn/embedding.js";
import type { Linear } from "../nn/linear.js";
import type { Module } from "../nn/module.js";
import { readTensor } from "../runtime/host_data.js";
import { QuantizedConv2d } from "./conv.js";
import { QuantizationError } from "./errors.js";
import { FakeQuantizedConv2d, FakeQuantizedLayer, FakeQuantizedLinear } from "./fake.js";
import { findFoldable, foldBatchNorms } from "./fold.js";
import type { InputQuantization } from "./input.js";
import { QuantizedLinear } from "./linear.js";
import { affineOf } from "./observers.js";
import { chooseLayers, type QuantizeOptions } from "./quantize.js";
import { replaceModule, replacementsOf, retire } from "./replace.js";
import { batches, type Int8Dynamic, type Int8Static, requireScheme } from "./scheme.js";

const prepareOptions: Kinds<Omit<QuantizeOptions, "minSnr">> = {
  filter: aFunction,
  data: batches,
  forward: aFunction,
};

/**
 * First step of quantization-aware training: replaces linear layers and convolutions by fake-quantized ones with the same parameters
 * (existing optimizers keep working), and folds batch norms into the convolutions before them. Train for some epochs at a small
 * learning rate, then `convert`. With int8Static() the input ranges are learned as moving averages during training.
 *
 * @example
 * const model = new Sequential(new Linear(32, 4));
 * await prepare(model, int8Dynamic());
 * model.forward(zeros([1, 32])).sum().backward();
 * new SGD(model.parameters(), { lr: 1e-3 }).step();
 * await convert(model);
 * model.modules[0] instanceof QuantizedLinear; // true
 *
 * @throws QuantizationError if there is no layer to quantize.
 */
export async function prepare<Batch>(
  model: Module,
  scheme: Int8Dynamic | Int8Static,
  options: Omit<QuantizeOptions<Batch>, "minSnr"> = {},
): Promise<void> {
  requireModule("prepare", model);
  requireScheme("prepare", scheme);
  const { filter, data, forward } = checkOptions("prepare", options, prepareOptions);
  // Tables are not trained to expect rounding.
  const layers = new Map(
    [...chooseLayers(model, scheme, filter)].filter(
      (entry): entry is [string, Linear | Conv2d] => !(entry[1] instanceof Embedding),
    ),
  );
  const chosen = new Set<Module>(layers.values());
  const pairs = (await findFoldable(model, data, forward)).filter(({ conv }) => chosen.has(conv));
  await foldBatchNorms(model, pairs);
  const made = new Map<Module, FakeQuantizedLayer>();
  for (const [name, layer] of layers) {
    const fake =
      made.get(layer) ??
      (layer instanceof Conv2d
        ? new FakeQuantizedConv2d(layer, scheme)
        : new FakeQuantizedLinear(layer, scheme));
    fake.training = layer.training;
    made.set(layer, fake);
    replaceModule(model, name, fake);
  }
}

/**
 * Second step of quantization-aware training: replaces the fake-quantized layers of `prepare` by quantized ones. On an error the model
 * stays unchanged.
 *
 * @example
 * const model = new Sequential(new Linear(32, 4));
 * await prepare(model, int8Dynamic());
 * await convert(model);
 * model.modules[0] instanceof QuantizedLinear; // true
 *
 * @throws QuantizationError if there are none, or one with static inputs has never been trained.
 */
export async function convert(model: Module): Promise<void> {
  requireModule("convert", model);
  const layers = [...model.namedModules()].filter(
    (entry): entry is [string, FakeQuantizedLayer] => entry[1] instanceof FakeQuantizedLayer,
  );
  if (layers.length === 0) {
    throw new QuantizationError("the model has no fake-quantized layers", {
      op: "convert",
      hint: "prepare() it first",
    });
  }
  const inputs = new Map<string, InputQuantization>();
  for (const [name, layer] of layers) inputs.set(name, await learnedInput(name, layer));
  const made = replacementsOf(new Map(layers), (layer, name) => {
    const quantization = { bits: layer.scheme.weightBits };
    const input = inputs.get(name)!;
    return layer instanceof FakeQuantizedConv2d
      ? QuantizedConv2d.of(layer, quantization, input)
      : QuantizedLinear.of(layer, quantization, input);
  });
  for (const [name, layer] of made) replaceModule(model, name, layer);
  retire(
    model,
    layers.map(([, layer]) => layer),
  );
}

async function learnedInput(name: string, { range }: FakeQuantizedLayer): Promise<InputQuantization> {
  if (range === undefined) return { kind: "dynamic" };
  const [low, high] = await readTensor(range);
  const affine = low <= high ? affineOf({ min: low, max: high }) : undefined;
  if (affine === undefined) {
    throw new QuantizationError(`${name} has seen no inputs but 0 in training: no scale`, {
      op: "convert",
      hint: "train the prepared model with data that reach it",
    });
  }
  return { kind: "static", ...affine };
}
