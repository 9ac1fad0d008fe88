/** The state of a module tree: modules, parameters and buffers with their names. Everything that lists names uses this file. */
import { ArgumentError } from "../core/errors.js";
import type { Device } from "../device/device.js";
import { Tensor } from "../graph/tensor.js";
import { type Entry, entriesOf, join, stateName } from "./fields.js";
import { isParameter } from "./parameter.js";

/** Options of `Module.registerBuffer`. */
export interface BufferOptions {
  /** Whether a state dict may lack it, even a strict one; the buffer then keeps its value. Default false. */
  readonly optional?: boolean;
  /**
   * False for a buffer that is computed, not learned, as PyTorch's `persistent=False`: state dicts and files do not have it, and a
   * value in a file is ignored. Default true.
   */
  readonly persistent?: boolean;
  /**
   * Computes the value on a device, for a module that was built on the meta device, whose tensors have no values. The buffer is
   * then not persistent.
   */
  readonly derive?: (device: Device) => Tensor;
}

/** A module, as far as its state needs it. */
export interface Stateful {
  stateNames(): Readonly<Record<string, string>>;
  ignoredKeys(): readonly RegExp[];
}

/** The buffers of each module by `stateName(field)`. Its keys are all modules. */
const buffersOf = new WeakMap<object, Map<string, BufferOptions>>();

/** Called by the constructor of every module. */
export function initState(module: Stateful): void {
  buffersOf.set(module, new Map());
}

export function isModule(value: unknown): value is Stateful {
  return buffersOf.has(value as object);
}

export function addBuffer(module: Stateful, field: string, options: BufferOptions): void {
  const persistent = options.derive === undefined && options.persistent;
  buffersOf.get(module)!.set(stateName(field), { ...options, persistent });
}

/** A parameter or buffer at one place. A tied tensor has several places. */
export interface StateEntry {
  /** Its key in a state dict. */
  readonly name: string;
  readonly tensor: Tensor;
  /** Undefined for a parameter. */
  readonly buffer: BufferOptions | undefined;
  /** Replaces the tensor at this place. */
  put(tensor: Tensor): void;
}

/** A module at one place. A module that is used twice has two places. */
interface ModulePlace<M> {
  /** Unique in the tree, "" for its root. */
  readonly name: string;
  /** Prefix of the keys of its tensors. */
  readonly prefix: string;
  readonly module: M;
}

function bufferOf(owner: Stateful, field: string): BufferOptions | undefined {
  return buffersOf.get(owner)!.get(stateName(field));
}

/** Modules, parameters and buffers in the fields of a module. @throws ArgumentError for names that clash. */
export function fieldsOf<M extends Stateful>(owner: M): Entry<M | Tensor>[] {
  return entriesOf<M | Tensor>(
    owner,
    owner.stateNames(),
    (value, field): value is M | Tensor =>
      isModule(value) ||
      (value instanceof Tensor && (isParameter(value) || bufferOf(owner, field) !== undefined)),
  );
}

/** A module and all below it, depth first in the order of the fields. One that holds one above it is not below itself. */
export function* modulesOf<M extends Stateful>(
  module: M,
  name = "",
  prefix = "",
  path: readonly M[] = [],
): Generator<ModulePlace<M>> {
  if (path.includes(module)) return;
  yield { name, prefix, module };
  for (const { name: own, key, value } of fieldsOf(module)) {
    if (isModule(value)) yield* modulesOf(value, join(name, own), join(prefix, key), [...path, module]);
  }
}

/**
 * All parameters and buffers, including non-persistent buffers; a tied tensor once for each of its names.
 * @throws ArgumentError if two places have one name, naming both.
 */
export function stateOf(root: Stateful): StateEntry[] {
  const result: StateEntry[] = [];
  const places = new Map<string, string>();
  for (const { name: owner, prefix, module } of modulesOf(root)) {
    for (const { key, field, value, put } of fieldsOf(module)) {
      if (isModule(value)) continue;
      const name = join(prefix, key);
      const place = `${field} of ${owner || "the model"} (${module.constructor.name})`;
      const other = places.get(name);
      if (other !== undefined) {
        throw new ArgumentError(`${other} and ${place} are both ${name} in a state dict`, {
          op: root.constructor.name,
          hint: "see stateNames",
        });
      }
      places.set(name, place);
      result.push({ name, tensor: value, buffer: bufferOf(module, field), put });
    }
  }
  return result;
}

/** Whether state dicts have it. */
export function isPersistent({ buffer }: StateEntry): boolean {
  return buffer?.persistent !== false;
}

/** The places of each tensor, first names first. */
export function byTensor(entries: readonly StateEntry[]): Map<Tensor, StateEntry[]> {
  const result = new Map<Tensor, StateEntry[]>();
  for (const entry of entries) {
    const places = result.get(entry.tensor);
    if (places === undefined) result.set(entry.tensor, [entry]);
    else places.push(entry);
  }
  return result;
}
