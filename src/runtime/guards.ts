/** Guards: conditions, other than the arguments, under which a recording is valid. They are checked at every call. */
import type { DType } from "../core/dtype.js";
import { type Shape, sameShape } from "../core/shape.js";
import type { ObservedKey } from "../graph/observe.js";
import type { Tensor } from "../graph/tensor.js";

/** A fixed tensor, or argument number `argument` of the call. */
export type TensorSource = { readonly tensor: Tensor } | { readonly argument: number };

export function locate(source: TensorSource, tensors: readonly Tensor[]): Tensor {
  return "tensor" in source ? source.tensor : tensors[source.argument];
}

/** @param handles The handles that replaced the function's arguments. */
export function sourceOf(tensor: Tensor, handles: readonly Tensor[]): TensorSource {
  const argument = handles.indexOf(tensor);
  return argument < 0 ? { tensor } : { argument };
}

/** `training` of a module or `requiresGrad` of a tensor. */
export interface FlagGuard {
  readonly owner: { readonly [K in ObservedKey]?: unknown };
  readonly key: ObservedKey;
  readonly value: unknown;
}

/** A field of a module, or an entry of an array, record or Map in one. */
export interface FieldGuard {
  readonly owner: object;
  readonly key: unknown;
  readonly value: unknown;
}

/** The gradient of a tensor at the start of the call. */
export interface GradientGuard {
  readonly of: TensorSource;
  /** Undefined for no gradient. */
  readonly like: { readonly shape: Shape; readonly dtype: DType; readonly requiresGrad: boolean } | undefined;
}

export interface Guards {
  readonly flags: readonly FlagGuard[];
  readonly fields: readonly FieldGuard[];
  readonly gradients: readonly GradientGuard[];
  readonly conditions: readonly (() => boolean)[];
}

/** One loop per kind keeps property accesses monomorphic. */
export function guardsHold(
  { flags, fields, gradients, conditions }: Guards,
  tensors: readonly Tensor[],
): boolean {
  for (let i = 0; i < flags.length; i++) {
    const { owner, key, value } = flags[i];
    if (owner[key] !== value) return false;
  }
  for (let i = 0; i < fields.length; i++) {
    const { owner, key, value } = fields[i];
    if (!Object.is(fieldOf(owner, key), value)) return false;
  }
  for (let i = 0; i < gradients.length; i++) {
    const { of, like } = gradients[i];
    const { grad } = locate(of, tensors);
    if (grad === undefined ? like !== undefined : like === undefined || !isLike(grad, like)) return false;
  }
  for (const condition of conditions) if (!condition()) return false;
  return true;
}

function isLike(tensor: Tensor, { shape, dtype, requiresGrad }: NonNullable<GradientGuard["like"]>): boolean {
  return tensor.requiresGrad === requiresGrad && tensor.dtype === dtype && sameShape(tensor.shape, shape);
}

/** The key of the number of entries of an array, record or Map. */
const count = Symbol("count");

function fieldOf(owner: object, key: unknown): unknown {
  if (key === count) {
    return Array.isArray(owner)
      ? owner.length
      : owner instanceof Map
        ? owner.size
        : Object.keys(owner).length;
  }
  return owner instanceof Map ? owner.get(key) : (owner as Record<string, unknown>)[key as string];
}

/** Larger collections are not compared: a vocabulary is not part of a model's structure. */
const maxEntries = 1024;

/** The field values of the modules that a function used, at the time of use. */
export class FieldSnapshot {
  readonly fields: FieldGuard[] = [];
  readonly #seen = new Map<object, number>();

  /** Adds a module, and the modules, arrays, records and Maps in its fields. */
  add(owner: object): void {
    if (this.#seen.has(owner)) return;
    const entries: [unknown, unknown][] = owner instanceof Map ? [...owner] : Object.entries(owner);
    this.#seen.set(owner, entries.length);
    // An entry added to a list of layers would be used by forward; a field added to a module would not.
    if (!isModule(owner)) this.fields.push({ owner, key: count, value: entries.length });
    if (entries.length > maxEntries) return;
    for (const [key, value] of entries) {
      this.fields.push({ owner, key, value });
      if (isContainer(value)) this.add(value);
    }
  }

  /** The first changed field, as `Class.field`. */
  changed(): { readonly name: string; readonly value: unknown } | undefined {
    for (const { owner, key, value } of this.fields) {
      const now = fieldOf(owner, key);
      if (!Object.is(now, value)) return { name: nameOf(owner, key === count ? "length" : key), value: now };
    }
    for (const [owner, count] of this.#seen) {
      const entries: [unknown, unknown][] = owner instanceof Map ? [...owner] : Object.entries(owner);
      if (entries.length > count) {
        const [key, value] = entries[entries.length - 1];
        return { name: nameOf(owner, key), value };
      }
    }
    return undefined;
  }
}

function nameOf(owner: object, key: unknown): string {
  return `${owner.constructor?.name ?? "Object"}.${String(key)}`;
}

/** Modules and containers of modules. */
function isContainer(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value) || value instanceof Map) return true;
  return Object.getPrototypeOf(value) === Object.prototype || isModule(value);
}

function isModule(value: object): boolean {
  return typeof (value as { forward?: unknown }).forward === "function";
}
