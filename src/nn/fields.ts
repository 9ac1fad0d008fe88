/** What a module's fields hold: its modules and tensors, also in arrays, Maps and records, by PyTorch's names. */
import { isPlain } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";

/** Something that belongs to a module's state. */
export interface Entry<T> {
  /** `layers.0` for the first element of the field `layers`. */
  readonly name: string;
  readonly value: T;
  /** Puts another value in its place. */
  put(value: T): void;
}

/**
 * The values in the fields of `owner` that `isState` takes, in order.
 * @throws ArgumentError if two fields have one name, or a key has none.
 */
export function entriesOf<T>(
  owner: object,
  isState: (value: unknown, field: string) => value is T & object,
): Entry<T>[] {
  const entries: Entry<T>[] = [];
  const fields = new Map<string, string>();
  const op = owner.constructor.name;
  const visit = (value: unknown, name: string, put: (value: T) => void, path: readonly unknown[]): void => {
    if (typeof value !== "object" || value === null || path.includes(value)) return;
    if (isState(value, path.length === 0 ? name : "")) entries.push({ name, value, put });
    else if (Array.isArray(value)) {
      value.forEach((item, i) => {
        const putItem = (next: T) => {
          value[i] = next;
        };
        visit(item, `${name}.${i}`, putItem, [...path, value]);
      });
    } else if (value instanceof Map || isPlain(value)) {
      for (const [key, item] of value instanceof Map ? value : Object.entries(value)) {
        const before = entries.length;
        const putItem = (next: T) => {
          if (value instanceof Map) value.set(key, next);
          else (value as Record<string, T>)[key] = next;
        };
        visit(item, `${name}.${String(key)}`, putItem, [...path, value]);
        const isNamed = typeof key === "number" || (typeof key === "string" && /^[^.]+$/.test(key));
        if (entries.length > before && !isNamed) {
          throw new ArgumentError(`${String(key)} in ${name} cannot be part of a name in a state dict`, {
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
    const name = stateName(field);
    visit(value, name, put, []);
    if (entries.length === before) continue;
    const other = fields.get(name);
    if (other !== undefined) {
      throw new ArgumentError(`the fields ${other} and ${field} are both ${name} in a state dict`, { op });
    }
    fields.set(name, field);
  }
  return entries;
}

/** `runningMean` → `running_mean`, as Python spells attributes; `LayerNorm`, a name of some models, stays. */
export function stateName(field: string): string {
  return /^[A-Z]/.test(field) ? field : field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
