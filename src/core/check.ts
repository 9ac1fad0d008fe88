/**
 * What public functions check of their arguments: a wrong one gets a sentence that names the function, the argument and the
 * way out. Options are checked by name as well, so that a misspelt one is never ignored.
 */
import type { DType } from "./dtype.js";
import { ArgumentError } from "./errors.js";

/** The valid values of an argument: description, test, and hint for invalid values. */
export type Kind = readonly [
  words: string,
  test: (value: unknown) => boolean,
  hint?: (value: unknown) => string | undefined,
];

/** A kind for each option of T. */
export type Kinds<T> = { readonly [Name in keyof T]-?: Kind };

const ofType = (words: string, type: string): Kind => [words, (value) => typeof value === type];

const list: (value: unknown) => boolean = Array.isArray;

// biome-ignore lint/suspicious/noSelfCompare: NaN alone differs from itself
export const aNumber: Kind = ["a number", (value) => typeof value === "number" && value === value];
export const anInteger: Kind = ["an integer", Number.isSafeInteger];
/** Sizes and counts. */
export const aCount: Kind = [
  "an integer of at least 0",
  (value) => Number.isSafeInteger(value) && Number(value) >= 0,
];
export const aBoolean: Kind = ofType("true or false", "boolean");
export const aString: Kind = ofType("a string", "string");
export const aFunction: Kind = ofType("a function", "function");
export const anObject: Kind = [
  "an object",
  (value) => typeof value === "object" && value !== null && !list(value),
];
export const anArray: Kind = ["an array", list];
/** Shapes and lists of dimensions; the elements are checked together with their domain. */
export const integers: Kind = ["an array of integers", list];
export const aDevice: Kind = [
  "a device",
  (value) => typeof (value as { allocate?: unknown } | undefined | null)?.allocate === "function",
  (value) => (typeof value === "string" ? `await openDevice(${describe(value)}) opens one` : undefined),
];
/** A number for both spatial dimensions or one for each; that they are integers is checked with the domain. */
export const aPair: Kind = ["a number or a pair of numbers", (value) => aNumber[1](value) || list(value)];
/** Contents of a file. */
export const fileBytes: Kind = [
  "a Uint8Array",
  (value) => value instanceof Uint8Array,
  (value) =>
    typeof value === "string"
      ? "read the file first: readFile of node:fs/promises, or fetch"
      : value instanceof ArrayBuffer
        ? "new Uint8Array(buffer)"
        : undefined,
];
export const aDType: Kind = oneOf<DType>("float32", "float16", "bfloat16", "int32", "uint8", "int8", "bool");

/** One of some strings. */
export function oneOf<Name extends string>(...names: readonly Name[]): Kind {
  return [`one of ${names.join(", ")}`, (value) => names.includes(value as Name)];
}

/** Any of several kinds. */
export function either(...kinds: readonly Kind[]): Kind {
  return [kinds.map(([words]) => words).join(" or "), (value) => kinds.some(([, test]) => test(value))];
}

/** A value in words, for error messages: `a Promise`, `{ padding }`, `"wasm"`. */
export function describe(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === "function") return "a function";
  if (Object(value) !== value) return String(value);
  if (isPlain(value))
    return `{ ${Object.keys(value as object)
      .slice(0, 9)
      .join(", ")} }`;
  const tag = Object.prototype.toString.call(value).slice(8, -1);
  const name = tag === "Object" ? (value as object).constructor?.name : tag;
  return name === "Array" ? "an array" : `a ${name}`;
}

/** An object literal, of whichever realm. */
export function isPlain(value: unknown): value is object {
  if (typeof value !== "object" || value === null || list(value)) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** The error for an argument of another kind. */
export function wrong(op: string, name: string, value: unknown, [words, , hint]: Kind): ArgumentError {
  const isPromise = typeof (value as PromiseLike<unknown> | undefined | null)?.then === "function";
  return new ArgumentError(`${name} is ${words}, got ${describe(value)}`, {
    op,
    hint: isPromise ? "await it first" : hint?.(value),
  });
}

/** @throws ArgumentError naming `op` and the argument if the value is of another kind. */
export function check<T>(op: string, name: string, value: T, kind: Kind): T {
  if (!kind[1](value)) throw wrong(op, name, value, kind);
  return value;
}

/** @throws ArgumentError for the first of these options that is missing. */
export function checkNeeded<T>(op: string, given: Partial<T>, kinds: Kinds<T>): void {
  for (const name in given) check(op, name, given[name], kinds[name]);
}

/** The same for several arguments of one kind, by their names. */
export function checkAll(op: string, values: Readonly<Record<string, unknown>>, kind: Kind): void {
  for (const name in values) check(op, name, values[name], kind);
}

/**
 * The options that a function was given, {} for undefined.
 * @throws ArgumentError for anything but one object with known names and values of their kinds.
 */
export function checkOptions<T extends object>(
  op: string,
  given: T | undefined,
  kinds: Kinds<T>,
): Partial<T> {
  if (given === undefined) return {};
  if (!isPlain(given)) {
    throw wrong(op, "the last argument", given, [
      `one object of options { ${Object.keys(kinds).join(", ")} }`,
      isPlain,
    ]);
  }
  for (const name in given) {
    if (!Object.hasOwn(kinds, name)) throw unknownOption(op, name, Object.keys(kinds));
    const value = given[name];
    if (value !== undefined && !kinds[name][1](value)) throw wrong(op, name, value, kinds[name]);
  }
  return given;
}

function unknownOption(op: string, name: string, known: readonly string[]): ArgumentError {
  const nearest = nearestName(name, known);
  const hint =
    nearest === undefined ? known.join(", ") : `did you mean ${nearest}? It takes ${known.join(", ")}`;
  return new ArgumentError(`there is no option "${name.slice(0, 40)}"`, { op, hint });
}

/** The known name with the fewest edits, or one of whose letters, in their order, the other is made: `lr` for learningRate. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const plain = (text: string) => text.slice(0, 40).replace(/[-_]/g, "").toLowerCase();
  const word = plain(name);
  let least = 1 + word.length / 2;
  let nearest: string | undefined;
  for (const other of known) {
    const [short, long] = [word, plain(other)].sort((a, b) => a.length - b.length);
    const distance = isPart(short, long) ? 1 : edits(short, long);
    if (distance < least) [least, nearest] = [distance, other];
  }
  return nearest;
}

function isPart(short: string, long: string): boolean {
  let found = 0;
  for (const letter of long) if (letter === short[found]) found++;
  return found > 1 && found === short.length;
}

/** Levenshtein's distance. */
function edits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      next.push(Math.min(next[j] + 1, row[j + 1] + 1, row[j] + Number(a[i] !== b[j])));
    }
    row = next;
  }
  return row[b.length];
}

/** @throws ArgumentError if `result` is a promise or an iterator: the function that made it has not ended. */
export function requireSync<T>(op: string, result: T): T {
  const { then, next } = (result ?? {}) as { then?: unknown; next?: unknown };
  if (typeof then !== "function" && typeof next !== "function") return result;
  // The promise's own rejection must not be reported as unhandled, too.
  if (typeof then === "function") Reflect.apply(then, result, [undefined, () => {}]);
  throw new ArgumentError("the function is async, and what it does after its first await would escape", {
    op,
    hint: "await before and after, and give a function that does not wait",
  });
}
