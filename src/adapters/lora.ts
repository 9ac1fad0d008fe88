/** Puts low-rank adapters beside the linear layers of a model, of which alone the adapters are trained. */

import {
  aBoolean,
  aNumber,
  anArray,
  checkNeeded,
  checkOptions,
  either,
  type Kind,
  type Kinds,
  oneOf,
} from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import { Inspectable } from "../core/inspect.js";
import type { Tensor } from "../graph/tensor.js";
import { requireModule } from "../nn/check.js";
import type { Module } from "../nn/module.js";
import { setTrainable, wasMadeParameter } from "../nn/parameter.js";
import { byTensor, modulesOf, stateOf } from "../nn/state.js";
import { replaceModule } from "../quantization/replace.js";
import { commit } from "../runtime/commit.js";
import { type Adaptable, isAdaptable, type LoraInit, LoraLinear } from "./lora_linear.js";

/** Names of modules: a pattern found in the whole name, or last parts of names (`q_proj` is each layer's `….q_proj`). */
export type Targets = RegExp | readonly string[];

/** Which layers get adapters, and of what size. */
export interface LoraOptions {
  /** Which `Linear` and `QuantizedLinear` layers get an adapter, by their names in state dicts. */
  readonly targets: Targets;
  /** Inner size of the updates. Default 8. */
  readonly rank?: number;
  /** Updates are scaled by alpha / rank. Default 8. */
  readonly alpha?: number;
  /** Scales by alpha / √rank instead (Kalajdzievski 2023). Default false. */
  readonly rankStabilized?: boolean;
  /** Probability of dropping an element of an adapter's input while training. Default 0. */
  readonly dropout?: number;
  /** A is uniform within 1/√in ("kaiming", default) or normal with standard deviation 1/rank; B is 0. */
  readonly init?: LoraInit;
  /** Last parts of the names of modules that are trained and saved as a whole, such as a new `classifier`. Default: none. */
  readonly modulesToSave?: readonly string[];
}

const aTarget: Kind = either(["a RegExp", (value) => value instanceof RegExp], anArray);
const aProbability: Kind = [
  "a number of at least 0 and below 1",
  (value) => Number(value) >= 0 && Number(value) < 1,
];
const aRank: Kind = [
  "an integer of at least 1",
  (value) => Number.isSafeInteger(value) && Number(value) >= 1,
];

const loraOptions: Kinds<LoraOptions> = {
  targets: aTarget,
  rank: aRank,
  alpha: aNumber,
  rankStabilized: aBoolean,
  dropout: aProbability,
  init: oneOf<LoraInit>("kaiming", "gaussian"),
  modulesToSave: anArray,
};

/** The options with their defaults, as `adapter_config.json` has them. */
export type LoraConfig = Required<LoraOptions>;

/** Rank and alpha of one layer, where they differ from the options' (peft's `rank_pattern` and `alpha_pattern`). */
export type LayerShape = Pick<LoraConfig, "rank" | "alpha">;

/** Factor on the updates. */
export function scalingOf({ rank, alpha }: LayerShape, rankStabilized: boolean): number {
  return alpha / (rankStabilized ? Math.sqrt(rank) : rank);
}

/** Whether a module's name is among the targets, as peft decides for a list. */
export function isTarget(name: string, targets: Targets): boolean {
  if (targets instanceof RegExp) return name.search(targets) >= 0;
  return targets.some((target) => name === target || name.endsWith(`.${target}`));
}

/** A layer of a model, by its name in state dicts and its place in the tree. */
export interface Place {
  readonly name: string;
  /** As `replaceModule` takes it. */
  readonly path: string;
  readonly layer: Adaptable;
}

/** The layers that can have an adapter, with their names in state dicts. */
export function placesOf(model: Module): Place[] {
  return [...modulesOf<Module>(model)].flatMap(({ prefix, name, module }) =>
    isAdaptable(module) ? [{ name: prefix, path: name, layer: module }] : [],
  );
}

/**
 * LoRA (Hu et al. 2021): freezes `model` and puts an adapter beside each of the chosen linear layers, in place. Only the adapters and
 * `modulesToSave` are trained. Layers with quantized weights can be chosen as well (QLoRA, Dettmers et al. 2023): their weights stay
 * quantized. An untrained adapter changes nothing.
 *
 * @example
 * const model = new Sequential(new Linear(64, 64), new ReLU(), new Linear(64, 10));
 * const adapter = lora(model, { targets: ["0", "2"], rank: 4, alpha: 8 });
 * adapter.parameterCount(); // 808
 * const optimizer = new AdamW(adapter.parameters(), { lr: 1e-3 });
 * crossEntropy(model.forward(randn([8, 64])), zeros([8], { dtype: "int32" })).backward();
 * optimizer.step();
 *
 * @throws ArgumentError if no layer is chosen, or the model has adapters already.
 */
export function lora(model: Module, options: LoraOptions): LoraAdapter {
  requireModule("lora", model);
  const {
    targets,
    rank = 8,
    alpha = 8,
    rankStabilized = false,
    dropout = 0,
    init = "kaiming",
    modulesToSave = [],
  } = checkOptions("lora", options, loraOptions);
  checkNeeded("lora", { targets }, loraOptions);
  const config = { targets: targets!, rank, alpha, rankStabilized, dropout, init, modulesToSave };
  const places = placesOf(model);
  const chosen = places.filter(({ name }) => isTarget(name, config.targets));
  if (chosen.length === 0) {
    throw new ArgumentError(`no linear layer is among the targets ${targets}`, {
      op: "lora",
      hint: `the model has ${listed(places.map(({ name }) => name))}`,
    });
  }
  return attach(model, config, new Map(chosen.map((place) => [place, config])));
}

/** The names, without those that differ in numbers only. */
function listed(names: readonly string[]): string {
  const kinds = new Set(names.map((name) => name.replace(/\b\d+\b/g, "*")));
  return [...kinds].join(", ") || "none";
}

/** Puts adapters of the given shapes at the places. @throws ArgumentError for unknown `modulesToSave`, and adapters that are there. */
export function attach(
  model: Module,
  config: LoraConfig,
  shapes: ReadonlyMap<Place, LayerShape>,
): LoraAdapter {
  const modules = [...modulesOf<Module>(model)];
  if (modules.some(({ module }) => module instanceof LoraLinear)) {
    throw new ArgumentError("the model has an adapter already", {
      op: "lora",
      hint: "adapter.remove() takes it away",
    });
  }
  for (const target of config.modulesToSave) {
    if (modules.some(({ prefix }) => isTarget(prefix, [target]))) continue;
    throw new ArgumentError(`modulesToSave: the model has no module ${target}`, { op: "lora" });
  }
  const trainable = new Map(
    stateOf(model).flatMap(({ tensor }) => (wasMadeParameter(tensor) ? [[tensor, tensor.requiresGrad]] : [])),
  );
  model.freeze();
  const saved = modules.filter(({ prefix }) => isTarget(prefix, config.modulesToSave));
  for (const { module } of saved) module.unfreeze();
  const layers = new Map<string, LoraLinear>();
  const made = new Map<Adaptable, LoraLinear>();
  for (const [{ name, path, layer }, shape] of shapes) {
    const { dropout, init, rankStabilized } = config;
    const scaling = scalingOf(shape, rankStabilized);
    // A layer with two names has one adapter.
    const adapted = made.get(layer) ?? new LoraLinear(layer, { rank: shape.rank, scaling, dropout, init });
    made.set(layer, adapted);
    adapted.train(model.training);
    replaceModule(model, path, adapted);
    layers.set(name, adapted);
  }
  return new LoraAdapter(
    model,
    config,
    layers,
    new Map(saved.map(({ prefix, module }) => [prefix, module])),
    trainable,
  );
}

/**
 * The adapters of a model. Made by `lora` and `loadAdapter`.
 *
 * @example
 * const model = new Sequential(new Linear(64, 10));
 * const adapter = lora(model, { targets: ["0"] });
 * adapter.merge();
 * adapter.merged; // true
 * adapter.remove();
 */
export class LoraAdapter extends Inspectable {
  readonly model: Module;
  readonly config: LoraConfig;
  /** By the names of the layers in state dicts. */
  readonly layers: ReadonlyMap<string, LoraLinear>;
  /** Modules that are trained and saved as a whole, by name. */
  readonly savedModules: ReadonlyMap<string, Module>;
  readonly #trainable: ReadonlyMap<Tensor, boolean>;
  #isRemoved = false;

  constructor(
    model: Module,
    config: LoraConfig,
    layers: ReadonlyMap<string, LoraLinear>,
    savedModules: ReadonlyMap<string, Module>,
    trainable: ReadonlyMap<Tensor, boolean>,
  ) {
    super();
    this.model = model;
    this.config = config;
    this.layers = layers;
    this.savedModules = savedModules;
    this.#trainable = trainable;
  }

  /**
   * What is trained: A and B of each layer, and the parameters of `modulesToSave`.
   * @throws ArgumentError after `remove`.
   */
  parameters(): Tensor[] {
    this.#requirePresent("parameters");
    return this.model.parameters().filter(({ requiresGrad }) => requiresGrad);
  }

  /** Number of trained values. */
  parameterCount(): number {
    return this.parameters().reduce((sum, { size }) => sum + size, 0);
  }

  /** False: the model computes what it did without adapters (`modulesToSave` stay trained). */
  set enabled(enabled: boolean) {
    for (const layer of this.layers.values()) layer.enabled = enabled;
  }

  get enabled(): boolean {
    return [...this.layers.values()].every((layer) => layer.enabled);
  }

  /** Whether the weights include the updates. */
  get merged(): boolean {
    return [...this.layers.values()].every((layer) => layer.merged);
  }

  /**
   * Adds each update to its layer's weight, so that adapters cost nothing. They cannot be trained meanwhile.
   * @throws ArgumentError if a layer's weight is quantized, or tied to a tensor elsewhere in the model; nothing is merged then.
   */
  merge(): void {
    this.#requirePresent("merge");
    const places = byTensor(stateOf(this.model));
    for (const [name, { base }] of this.layers) {
      const { weight } = base;
      if (weight.dtype !== "float32") {
        throw new ArgumentError(
          `${name} has a quantized weight, which cannot take the update without being rounded again`,
          {
            op: "merge",
            hint: "keep the adapter beside it, or merge into the float model and quantize that",
          },
        );
      }
      const owners = new Set(places.get(weight)!.map((place) => place.name));
      if (owners.size > 1) {
        throw new ArgumentError(
          `the weight of ${name} is tied: ${[...owners].join(", ")} would change with it`,
          { op: "merge" },
        );
      }
    }
    this.#setMerged(true);
  }

  /** Subtracts the updates again; the weights are those before `merge` up to a rounding in the last place. */
  unmerge(): void {
    this.#requirePresent("unmerge");
    this.#setMerged(false);
  }

  /** @throws ArgumentError once the adapters were removed: their memory is freed, and the model is another one's to train. */
  #requirePresent(op: string): void {
    if (!this.#isRemoved) return;
    throw new ArgumentError("the adapter was removed from its model", { op, hint: "lora() makes a new one" });
  }

  #setMerged(merged: boolean): void {
    const layers = [...this.layers.values()];
    for (const layer of layers) layer.setMerged(merged);
    for (const device of new Set(layers.map(({ base }) => base.weight.device))) commit(device);
  }

  /**
   * Takes the adapters away: the model is as it was before `lora`, except for merged updates and trained `modulesToSave`. Frees
   * the memory of A and B.
   */
  remove(): void {
    if (this.#isRemoved) return;
    this.#isRemoved = true;
    for (const { prefix, name, module } of [...modulesOf<Module>(this.model)]) {
      if (!(module instanceof LoraLinear) || this.layers.get(prefix) !== module) continue;
      replaceModule(this.model, name, module.base);
    }
    for (const { loraA, loraB } of new Set(this.layers.values()))
      for (const tensor of [loraA, loraB]) tensor.dispose();
    for (const [tensor, requiresGrad] of this.#trainable) setTrainable(tensor, requiresGrad);
  }

  override toString(): string {
    const { rank, alpha } = this.config;
    if (this.#isRemoved) return "LoraAdapter, removed";
    return `LoraAdapter of ${this.layers.size} layers, rank ${rank}, alpha ${alpha}, ${this.parameterCount()} parameters`;
  }
}
