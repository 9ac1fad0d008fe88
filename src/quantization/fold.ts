/** Folding batch norms into the convolutions (or linear layers) in front of them. */

import type { Tensor } from "../graph/tensor.js";
import { Identity } from "../nn/activation.js";
import { Sequential } from "../nn/container.js";
import { Conv2d } from "../nn/conv.js";
import type { Module } from "../nn/module.js";
import { BatchNorm2d } from "../nn/normalization.js";
import { parameter } from "../nn/parameter.js";
import { leaf, overwrite, readExact } from "../runtime/host_data.js";
import { tensorsIn } from "../runtime/structure.js";
import { replaceModule } from "./replace.js";
import type { Batches, Forward } from "./scheme.js";
import { evaluating, infer, leafModules, take, watching } from "./trace.js";

/** A convolution and the batch norm that its output, and nothing else, goes to. */
export interface FoldablePair {
  readonly conv: Conv2d;
  readonly norm: BatchNorm2d;
  /** Of the batch norm. */
  readonly name: string;
}

/**
 * Finds the pairs: neighbours in a `Sequential`, and with data those that one forward pass shows, where the batch norm is given
 * the very tensor that the convolution returned, and nothing else reads it.
 */
export async function findFoldable(
  model: Module,
  data?: Batches,
  forward?: Forward<never>,
): Promise<FoldablePair[]> {
  const pairs = new Map<BatchNorm2d, FoldablePair>();
  for (const [prefix, module] of model.namedModules()) {
    if (!(module instanceof Sequential)) continue;
    module.modules.forEach((norm, i) => {
      const conv = module.modules[i - 1];
      if (!(conv instanceof Conv2d) || !(norm instanceof BatchNorm2d)) return;
      pairs.set(norm, { conv, norm, name: prefix === "" ? `${i}` : `${prefix}.${i}` });
    });
  }
  if (data === undefined) return [...pairs.values()];
  // Inside the loop: a loader frees its batch afterwards.
  for await (const batch of take(data, 1)) {
    for (const pair of await pairsSeen(model, batch, forward)) pairs.set(pair.norm, pair);
  }
  return [...pairs.values()];
}

interface ModuleCall {
  readonly name: string;
  readonly module: Module;
  readonly input: unknown;
  readonly output: unknown;
}

async function pairsSeen(
  model: Module,
  example: unknown,
  forward: Forward<never> | undefined,
): Promise<FoldablePair[]> {
  const calls: ModuleCall[] = [];
  const result = await evaluating(model, () =>
    watching(
      leafModules(model),
      (name, module, [input], output) => calls.push({ name, module, input, output }),
      async () => infer(model, example, forward),
    ),
  );
  const isCalledOnce = (module: Module) => calls.filter((call) => call.module === module).length === 1;
  const joined: { pair: FoldablePair; conv: ModuleCall; norm: ModuleCall }[] = [];
  for (const norm of calls) {
    const conv = calls.find(({ module, output }) => module instanceof Conv2d && output === norm.input);
    if (conv === undefined || !(norm.module instanceof BatchNorm2d)) continue;
    if (!isCalledOnce(conv.module) || !isCalledOnce(norm.module)) continue;
    joined.push({ pair: { conv: conv.module as Conv2d, norm: norm.module, name: norm.name }, conv, norm });
  }
  // What reads a convolution's output without going through the batch norm reaches it on this walk.
  const entrances = new Map<unknown, unknown>(joined.map(({ conv, norm }) => [norm.output, conv.input]));
  const reached = new Set<unknown>();
  const stack = tensorsIn(result);
  while (stack.length > 0) {
    const tensor = stack.pop()!;
    if (reached.has(tensor)) continue;
    reached.add(tensor);
    const entrance = entrances.get(tensor);
    stack.push(...(entrance ? [entrance as Tensor] : (tensor.node?.values ?? [])));
  }
  return joined.filter(({ conv }) => !reached.has(conv.output)).map(({ pair }) => pair);
}

/**
 * Puts each batch norm's running statistics, scale and shift into the convolution in front of it, and an `Identity` in its place:
 * (conv(x) − mean)·γ/√(var + ε) + β. The model computes the same in evaluation mode, and can no longer normalize by batches.
 */
export async function foldBatchNorms(model: Module, pairs: readonly FoldablePair[]): Promise<void> {
  for (const { conv, norm, name } of pairs) {
    const [mean, variance, weight] = await Promise.all(
      [norm.runningMean, norm.runningVar, conv.weight].map(readExact),
    );
    const gamma = norm.weight && (await readExact(norm.weight));
    const beta = norm.bias && (await readExact(norm.bias));
    const bias = conv.bias && (await readExact(conv.bias));
    const perChannel = weight.length / mean.length;
    const folded = Float32Array.from(mean, (_, o) => {
      const factor = (gamma?.[o] ?? 1) / Math.sqrt(variance[o] + norm.eps);
      for (let i = o * perChannel; i < (o + 1) * perChannel; i++) weight[i] *= factor;
      return ((bias?.[o] ?? 0) - mean[o]) * factor + (beta?.[o] ?? 0);
    });
    overwrite(conv.weight, weight);
    if (conv.bias) overwrite(conv.bias, folded);
    else {
      const { device } = conv.weight;
      (conv as { bias: Tensor | undefined }).bias = parameter(
        leaf(device, "float32", [folded.length], folded),
      );
    }
    replaceModule(model, name, new Identity());
    norm.dispose();
  }
}

/** Gives a convolution that has none a bias, as folding does. */
export function addBias(conv: Conv2d, values: Float32Array): void {
  const { device } = conv.weight;
  (conv as { bias: Tensor | undefined }).bias = parameter(leaf(device, "float32", [values.length], values));
}
