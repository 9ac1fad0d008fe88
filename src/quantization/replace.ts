/** Replaces modules of a model in place. Tied weights stay tied, and keep their memory while any module uses it. */

import type { Tensor } from "../graph/tensor.js";
import type { Module } from "../nn/module.js";
import { stateOf } from "../nn/state.js";
import { dispose } from "../runtime/dispose.js";
import type { QuantizedLayer } from "./layer.js";

/** Puts a module in the place of the one called `name` below `model`. */
export function replaceModule(model: Module, name: string, module: Module): void {
  for (const [prefix, owner] of model.namedModules()) {
    const child = owner.children().find(([own]) => name === (prefix === "" ? own : `${prefix}.${own}`));
    if (child === undefined) continue;
    owner.replaceChild(child[0], module);
    return;
  }
  throw new Error(`no module ${name}`);
}

/** Frees the memory of modules that are no part of `model` any more, but for tensors that it still uses. */
export function retire(model: Module, modules: Iterable<Module>): void {
  const used = new Set(stateOf(model).map(({ tensor }) => tensor));
  for (const module of modules) {
    for (const { tensor } of stateOf(module)) if (!used.has(tensor)) dispose(tensor);
  }
}

/** Makes a replacement for each layer: one for a layer that has several names, one packed weight for tied weights. */
export function replacementsOf<L extends { readonly weight: Tensor }>(
  layers: ReadonlyMap<string, L>,
  make: (layer: L, name: string) => QuantizedLayer,
): Map<string, QuantizedLayer> {
  const byLayer = new Map<L, QuantizedLayer>();
  const byWeight = new Map<unknown, QuantizedLayer>();
  const result = new Map<string, QuantizedLayer>();
  for (const [name, layer] of layers) {
    const made = byLayer.get(layer) ?? make(layer, name);
    const other = byWeight.get(layer.weight);
    if (other !== undefined && other !== made) tie(made, other);
    byLayer.set(layer, made);
    byWeight.set(layer.weight, other ?? made);
    result.set(name, made);
  }
  return result;
}

/** Gives two layers made of one float weight one packed weight. A scale that includes that of the input stays a layer's own. */
function tie(layer: QuantizedLayer, other: QuantizedLayer): void {
  if (JSON.stringify(layer.description) !== JSON.stringify(other.description)) return;
  const shared =
    layer.input.kind === "static" ? (["weight"] as const) : (["weight", "scale", "minimums"] as const);
  for (const field of shared) {
    const own = layer[field];
    if (own === undefined) continue;
    dispose(own);
    (layer as { -readonly [F in typeof field]: Tensor | undefined })[field] = other[field];
  }
}
