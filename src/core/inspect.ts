/** What consoles show of the library's objects: a few lines instead of their fields. */
import type { TypedArray } from "./dtype.js";
import { type Shape, sizeOf } from "./shape.js";

/** Node's console.log calls the method of this name. */
const inspectCustom = Symbol.for("nodejs.util.inspect.custom");

/** Makes Node's console show the instances of a class, given its prototype, or one object by `text`; default `toString`. */
export function inspectable<T extends object>(target: T, text: (shown: T) => string = String): void {
  Object.defineProperty(target, inspectCustom, {
    value(this: T) {
      return text(this);
    },
  });
}

/** A base for classes whose `toString` consoles show: unlike a static block it leaves them to tree-shaking. */
export abstract class Inspectable {
  abstract toString(): string;

  static {
    inspectable(Inspectable.prototype);
  }
}

/** Values as nested arrays, a line for each row. Long dimensions are cut in the middle. */
export function formatValues(
  values: TypedArray,
  shape: Shape,
  isBool: boolean,
  start = 0,
  indent = 1,
): string {
  if (shape.length === 0) return isBool ? String(values[start] !== 0) : String(+values[start].toPrecision(5));
  const [extent, ...inner] = shape;
  const step = sizeOf(inner);
  // Shown at each end: matrices matter more than how many of them there are.
  const edge = inner.length > 1 ? 1 : 3;
  const parts: string[] = [];
  for (let i = 0; i < extent; i++) {
    if (extent > 2 * edge + Number(edge > 1) && i === edge) {
      parts.push("…");
      i = extent - edge;
    }
    parts.push(formatValues(values, inner, isBool, start + i * step, indent + 1));
  }
  return `[${parts.join(inner.length > 0 ? `,\n${" ".repeat(indent)}` : ", ")}]`;
}

/** `lr=0.1, betas=[0.9, 0.999]`; what is undefined is left out. */
export function formatFields(fields: object): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${Array.isArray(value) ? `[${value.join(", ")}]` : value}`)
    .join(", ");
}

/** 206922 as `206,922`. */
export function withCommas(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ",");
}
