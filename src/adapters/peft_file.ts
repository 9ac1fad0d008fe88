/** Adapters to and from peft's two files, adapter_config.json and adapter_model.safetensors. */

import { aString, check, checkOptions, either, isPlain, type Kind, type Kinds } from "../core/check.js";
import { FormatError } from "../core/errors.js";
import { formatShape, sameShape } from "../core/shape.js";
import { writeFileAtomic } from "../formats/atomic.js";
import { quote } from "../formats/excerpt.js";
import { FileError, nodeFiles, reasonOf } from "../formats/file.js";
import type { StoredTensor } from "../formats/host.js";
import { openSafetensors } from "../formats/safetensors_file.js";
import { saveSafetensors } from "../formats/safetensors_write.js";
import { openSource, type SourceInput } from "../formats/source.js";
import type { Tensor } from "../graph/tensor.js";
import { requireModule } from "../nn/check.js";
import { join } from "../nn/fields.js";
import type { Module } from "../nn/module.js";
import {
  attach,
  type LayerShape,
  LoraAdapter,
  type LoraConfig,
  type Place,
  placesOf,
  scalingOf,
} from "./lora.js";
import { featuresOf } from "./lora_linear.js";
import {
  type PeftConfig,
  type PeftLabels,
  patternValue,
  readPeftConfig,
  targetsOf,
  writePeftConfig,
} from "./peft_config.js";

const configFile = "adapter_config.json";
const weightsFile = "adapter_model.safetensors";
/** How peft names the base model in keys. */
const rootName = "base_model.model";
const halfName = /^(.*)\.(lora_[AB])(?:\.default)?\.weight$/;
const op = "loadAdapter";
/** Those that peft writes have 1 to 2 kB. */
const maxConfigBytes = 2 ** 20;

/** Where the two files of an adapter are read from: paths, URLs, Blobs, bytes (see `openSource`). */
export interface AdapterSources {
  readonly config: SourceInput;
  readonly weights: SourceInput;
}

/** Where the two files of an adapter are written to, in a page for example. */
export interface AdapterTargets {
  readonly config: WritableStream<Uint8Array>;
  readonly weights: WritableStream<Uint8Array>;
}

const labels: Kinds<PeftLabels> = { baseModel: aString, taskType: aString };
const anAdapter: Kind = ["what lora returns", (value) => value instanceof LoraAdapter];
const aPlace: Kind = either(aString, [
  "{ config, weights }",
  (value) => isPlain(value) && "config" in value && "weights" in value,
]);

/**
 * Writes an adapter as peft does: into a directory (Node; made if it is missing), or to two streams, which are closed.
 *
 * @throws FileError if a file cannot be written.
 * @example
 * const adapter = lora(new Sequential(new Linear(64, 10)), { targets: ["0"] });
 * await saveAdapter(adapter, "my-adapter", { baseModel: "HuggingFaceTB/SmolLM2-135M-Instruct", taskType: "CAUSAL_LM" });
 * const { tensors } = await openSafetensors("my-adapter/adapter_model.safetensors");
 * [...tensors.keys()]; // ["base_model.model.0.lora_A.weight", "base_model.model.0.lora_B.weight"]
 */
export async function saveAdapter(
  adapter: LoraAdapter,
  target: string | AdapterTargets,
  options?: PeftLabels,
): Promise<void> {
  const op = "saveAdapter";
  check(op, "the adapter", adapter, anAdapter);
  check(op, "the target", target, aPlace);
  const config = new TextEncoder().encode(configOf(adapter, checkOptions(op, options, labels)));
  const tensors = stateOf(adapter);
  const metadata = { format: "pt" };
  if (typeof target === "string") {
    const { fs, path } = nodeFiles(op);
    try {
      await fs.promises.mkdir(target, { recursive: true });
    } catch (cause) {
      throw new FileError(`cannot make the directory ${target}: ${reasonOf(cause)}`, { op, cause });
    }
    await saveSafetensors(path.join(target, weightsFile), tensors, metadata);
    await writeFileAtomic(path.join(target, configFile), config);
    return;
  }
  await saveSafetensors(target.weights, tensors, metadata);
  const writer = target.config.getWriter();
  await writer.write(config);
  await writer.close();
}

/** Values of A, B and `modulesToSave` by peft's keys. */
function stateOf({ layers, savedModules }: LoraAdapter): Map<string, Tensor> {
  const tensors = new Map<string, Tensor>();
  for (const [name, { loraA, loraB }] of layers) {
    tensors.set(`${rootName}.${name}.lora_A.weight`, loraA);
    tensors.set(`${rootName}.${name}.lora_B.weight`, loraB);
  }
  for (const [name, module] of savedModules) {
    for (const [key, tensor] of module.stateDict()) tensors.set(join(`${rootName}.${name}`, key), tensor);
  }
  return tensors;
}

function configOf({ layers, config, model }: LoraAdapter, given: PeftLabels): string {
  const shapes = new Map<string, LayerShape>();
  for (const [name, { rank, scaling }] of layers) {
    shapes.set(name, { rank, alpha: scaling / scalingOf({ rank, alpha: 1 }, config.rankStabilized) });
  }
  const all = placesOf(model).map(({ name }) => name);
  return writePeftConfig(config, shapes, [...new Set([...layers.keys(), ...all])], given);
}

/**
 * Reads an adapter that peft or `saveAdapter` wrote and attaches it to `model`, as `lora` does. Layers are found by their names in
 * state dicts; a prefix that only one of the two has (`bert.`, `model.`) does not matter. If anything does not fit, the model stays as
 * it was.
 *
 * @param source A directory (Node), or the two files.
 * @throws FileError if a file cannot be read; FormatError for damaged files, kinds of adapters that are not supported, and layers that
 * the model does not have or that have other sizes.
 * @example
 * await saveAdapter(lora(new Sequential(new Linear(64, 10)), { targets: ["0"] }), "an-adapter");
 * const model = new Sequential(new Linear(64, 10));
 * const adapter = await loadAdapter(model, "an-adapter");
 * adapter.layers.size; // 1
 */
export async function loadAdapter(model: Module, source: string | AdapterSources): Promise<LoraAdapter> {
  requireModule(op, model);
  check(op, "the source", source, aPlace);
  const sources = typeof source === "string" ? filesIn(source) : source;
  const peft = readPeftConfig(await textOf(sources.config), labelOf(sources.config));
  const file = await openSafetensors(sources.weights);
  try {
    const { halves, others } = sorted(file.tensors);
    const shapes = new Map<Place, LayerShape>();
    const values = new Map<string, StoredTensor>();
    const places = placesOf(model);
    for (const [name, { a, b }] of halves) {
      const place = requirePlace(places, name);
      shapes.set(place, shapeOf(name, place, a, b, peft));
      values.set(`${place.name}.lora_A.weight`, a!);
      values.set(`${place.name}.lora_B.weight`, b!);
    }
    if (shapes.size === 0) throw new FormatError("the file holds no lora_A and lora_B", { op });
    const { rankPattern, alphaPattern, targets, ...rest } = peft;
    const config: LoraConfig = { ...rest, targets: targetsOf(targets), init: "kaiming" };
    const adapter = attach(model, config, shapes);
    try {
      for (const [name, value] of others) values.set(savedName(adapter, name), value);
      await model.loadStateDict(values, { optional: [/^/] });
    } catch (error) {
      adapter.remove();
      throw error;
    }
    return adapter;
  } finally {
    await file.close();
  }
}

function filesIn(directory: string): AdapterSources {
  const { path } = nodeFiles(op);
  return { config: path.join(directory, configFile), weights: path.join(directory, weightsFile) };
}

function labelOf(input: SourceInput): string {
  return typeof input === "string" || input instanceof URL ? String(input) : configFile;
}

async function textOf(input: SourceInput): Promise<string> {
  const source = await openSource(input);
  try {
    if (source.size > maxConfigBytes) {
      throw new FormatError(`${labelOf(input)} has ${source.size} bytes, no configuration has`, { op });
    }
    return new TextDecoder().decode(await source.read(0, source.size));
  } finally {
    if (source !== input) await source.close();
  }
}

interface Halves {
  a?: StoredTensor;
  b?: StoredTensor;
}

/** A and B by the name of their layer, and all other tensors, without the name of peft's root. */
function sorted(tensors: ReadonlyMap<string, StoredTensor>): {
  halves: Map<string, Halves>;
  others: Map<string, StoredTensor>;
} {
  const halves = new Map<string, Halves>();
  const others = new Map<string, StoredTensor>();
  for (const [key, tensor] of tensors) {
    const name = key.startsWith(`${rootName}.`) ? key.slice(rootName.length + 1) : key;
    const [, layer, part] = halfName.exec(name) ?? [];
    if (layer === undefined) {
      if (/(^|\.)lora_/.test(name)) {
        throw new FormatError(`${quote(key)} belongs to a kind of adapter that is not supported`, {
          op,
          hint: "adapters of linear layers are",
        });
      }
      others.set(name, tensor);
      continue;
    }
    const half = halves.get(layer) ?? {};
    half[part === "lora_A" ? "a" : "b"] = tensor;
    halves.set(layer, half);
  }
  return { halves, others };
}

/** Whether two names are equal but for a prefix of one of them. */
function isSameName(a: string, b: string): boolean {
  return a === b || a.endsWith(`.${b}`) || b.endsWith(`.${a}`);
}

function requirePlace(places: readonly Place[], name: string): Place {
  const exact = places.filter((place) => place.name === name);
  const found = exact.length > 0 ? exact : places.filter((place) => isSameName(place.name, name));
  if (found.length === 1) return found[0];
  const problem = found.length === 0 ? "has no linear layer" : `has ${found.length} layers that may be`;
  throw new FormatError(`the model ${problem} ${quote(name)}`, { op });
}

function shapeOf(
  name: string,
  { layer }: Place,
  a: StoredTensor | undefined,
  b: StoredTensor | undefined,
  { rank, alpha, rankPattern, alphaPattern }: PeftConfig,
): LayerShape {
  const own = patternValue(rankPattern, name, rank);
  const [outFeatures, inFeatures] = featuresOf(layer);
  for (const [half, tensor, shape] of [
    ["lora_A", a, [own, inFeatures]],
    ["lora_B", b, [outFeatures, own]],
  ] as const) {
    if (tensor === undefined) throw new FormatError(`the file has no ${half} of ${quote(name)}`, { op });
    if (sameShape(tensor.shape, shape)) continue;
    throw new FormatError(
      `${half} of ${quote(name)} is ${formatShape(tensor.shape)}, the layer and the configuration need ${formatShape(shape)}`,
      { op },
    );
  }
  return { rank: own, alpha: patternValue(alphaPattern, name, alpha) };
}

/** The key in the model of a tensor of `modulesToSave`. */
function savedName({ savedModules }: LoraAdapter, name: string): string {
  for (const [prefix, module] of savedModules) {
    for (const key of module.stateDict().keys()) {
      const own = join(prefix, key);
      if (isSameName(own, name)) return own;
    }
  }
  throw new FormatError(`${quote(name)} is neither of an adapter nor of modules_to_save`, { op });
}
