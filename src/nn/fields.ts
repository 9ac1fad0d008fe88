/** Finds modules and tensors in the fields of a module, also in arrays, Maps and records, and names them. */
import { isPlain } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";

/** A module, parameter or buffer in a field. */
export interface Entry<T> {
  /** Unique among the entries of its owner: `layers.0` for the first element of the field `layers`. */
  readonly name: string;
  /** Its part of a state-dict key; "" where its level has no name. Otherwise equal to `name`. */
  readonly key: string;
  /** The field, as messages name it. */
  readonly field: string;
  readonly value: T;
  /** Replaces the value where it is held. */
  put(value: T): void;
}

/**
 * The values in the fields of `owner` that `isState` accepts, in order.
 *
 * @param names Names of fields in state dicts (see `Module.stateNames`); default: `stateName(field)`.
 * @param isState Gets the field's name, or "" for elements of containers.
 * @throws ArgumentError if two fields have one name, or a container's key cannot be part of a name.
 */
export function entriesOf<T>(
  owner: object,
  names: Readonly<Record<string, string>>,
  isState: (value: unknown, field: string) => value is T & object,
): Entry<T>[] {
  const entries: Entry<T>[] = [];
  const claimed = new Map<string, string>();
  const op = owner.constructor.name;
  const visit = (
    value: unknown,
    field: string,
    key: string,
    put: (value: T) => void,
    path: readonly unknown[],
  ): void => {
    if (typeof value !== "object" || value === null || path.includes(value)) return;
    if (isState(value, path.length === 0 ? field : "")) {
      entries.push({ name: key || stateName(field), key, field, value, put });
    } else if (Array.isArray(value)) {
      value.forEach((item, i) => {
        const putItem = (next: T) => {
          value[i] = next;
        };
        visit(item, field, join(key, `${i}`), putItem, [...path, value]);
      });
    } else if (value instanceof Map || isPlain(value)) {
      for (const [name, item] of value instanceof Map ? value : Object.entries(value)) {
        const before = entries.length;
        const putItem = (next: T) => {
          if (value instanceof Map) value.set(name, next);
          else (value as Record<string, T>)[name] = next;
        };
        visit(item, field, join(key, String(name)), putItem, [...path, value]);
        const isNamed = typeof name === "number" || (typeof name === "string" && /^[^.]+$/.test(name));
        if (entries.length > before && !isNamed) {
          throw new ArgumentError(`${String(name)} in ${key} cannot be part of a name in a state dict`, {
            op,
            hint: "keys of modules and parameters are strings without a dot",
          });
        }
      }
    }
  };
  for (const [field, value] of Object.entries(owner)) {
    const before = entries.length;
    const put = (next: T) => {
      (owner as Record<string, T>)[field] = next;
    };
    const key = Object.hasOwn(names, field) ? names[field] : stateName(field);
    visit(value, field, key, put, []);
    const found = entries.slice(before);
    for (const name of key === "" ? found.map((entry) => entry.name) : found.length > 0 ? [key] : []) {
      const other = claimed.get(name);
      if (other !== undefined) {
        throw new ArgumentError(`the fields ${other} and ${field} are both ${name} in a state dict`, { op });
      }
      claimed.set(name, field);
    }
  }
  return entries;
}

/** `runningMean` → `running_mean`, as Python spells attributes; `LayerNorm`, a name of some models, stays. */
export function stateName(field: string): string {
  return /^[A-Z]/.test(field) ? field : field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Joins two parts of a name, of which either may be empty. */
export function join(prefix: string, name: string): string {
  return prefix + (prefix && name && ".") + name;
}
