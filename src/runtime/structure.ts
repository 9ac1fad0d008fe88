/** Arguments and results of a jit function: tensors and numbers in arrays and records, nested as deep as one likes. */
import { ArgumentError, JitError } from "../core/errors.js";
import { Tensor } from "../graph/tensor.js";

/** What the function itself is given: a tensor, also for a number of the call, or an array or record of such arguments. */
export type JitArgument =
  | Tensor
  | undefined
  | readonly JitArgument[]
  | { readonly [name: string]: JitArgument };

/** What a call takes for it: where the function has a tensor, a number may be given. */
export type Given<T> = T extends Tensor
  ? Tensor | number
  : T extends object
    ? { readonly [K in keyof T]: Given<T[K]> }
    : T;

/** What a function may return: a tensor, or an array or record of such results, or nothing. */
export type JitResult = Tensor | undefined | readonly JitResult[] | { readonly [name: string]: JitResult };

/** The arguments of one call. */
export interface Arguments {
  readonly values: readonly unknown[];
  /** In the order in which they stand in `values`, as the numbers. */
  readonly tensors: readonly Tensor[];
  readonly numbers: readonly number[];
  /** Equal for calls of the same structure, shapes, dtypes and `requiresGrad`. */
  readonly key: string;
}

/** Arguments while they are read. */
interface Growing {
  readonly values: readonly unknown[];
  readonly tensors: Tensor[];
  readonly numbers: number[];
  key: string;
}

/** Nothing that people write is nested deeper; a value that contains itself is. */
const maxDepth = 32;

type Kind = "tensor" | "undefined" | "array" | "record" | "number" | "other";

function kindOf(value: unknown): Kind {
  if (value instanceof Tensor) return "tensor";
  if (typeof value === "number") return "number";
  if (value === undefined) return "undefined";
  if (Array.isArray(value)) return "array";
  if (typeof value !== "object" || value === null) return "other";
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null ? "record" : "other";
}

/** For messages: `a string`, `a Map`. */
function describe(value: unknown): string {
  if (value === null) return "null";
  return `a ${typeof value === "object" ? (value.constructor?.name ?? "object") : typeof value}`;
}

/** @throws ArgumentError for anything else than tensors, numbers, and arrays and records of them. */
export function readArguments(values: readonly unknown[]): Arguments {
  const args: Growing = { values, tensors: [], numbers: [], key: "" };
  for (let i = 0; i < values.length; i++) read(args, values[i], i, 0);
  return args;
}

/** Adds a part of the arguments; `key` grows by what tells its structure. */
function read(args: Growing, value: unknown, path: string | number, depth: number): void {
  if (value instanceof Tensor) {
    const { tensors } = args;
    // Two arguments that are one tensor share their gradient.
    const alias = value.requiresGrad ? `g${tensors.indexOf(value)}` : "";
    tensors.push(value);
    args.key += `${value.dtype}${value.shape}${alias};`;
    return;
  }
  switch (depth > maxDepth ? "other" : kindOf(value)) {
    case "number":
      args.numbers.push(value as number);
      args.key += "n;";
      return;
    case "undefined":
      args.key += "u;";
      return;
    case "array":
      args.key += "[";
      (value as unknown[]).forEach((part, i) => {
        read(args, part, `${path}[${i}]`, depth + 1);
      });
      args.key += "]";
      return;
    case "record":
      args.key += "{";
      for (const [name, part] of Object.entries(value as object)) {
        args.key += JSON.stringify(name);
        read(args, part, `${path}.${name}`, depth + 1);
      }
      args.key += "}";
      return;
  }
  throw new ArgumentError(`argument ${path} is ${describe(value)}`, {
    op: "jit",
    hint: "arguments are tensors, numbers, and arrays and records of them; other values belong in a closure",
  });
}

/** The same structure with other tensors in place of tensors and numbers. */
export function mapArguments(
  value: unknown,
  tensor: (tensor: Tensor) => Tensor,
  number: (value: number) => Tensor,
): unknown {
  if (value instanceof Tensor) return tensor(value);
  if (typeof value === "number") return number(value);
  if (Array.isArray(value)) return value.map((part) => mapArguments(part, tensor, number));
  if (value === undefined) return undefined;
  const entries = Object.entries(value as object);
  return Object.fromEntries(entries.map(([name, part]) => [name, mapArguments(part, tensor, number)]));
}

/** Makes a result out of the tensors of one call. */
export type Rebuild<C> = (call: C) => JitResult;

/**
 * @param source Where a tensor of the result is found in later calls.
 * @throws JitError for anything else than tensors, and arrays and records of them.
 */
export function rebuilder<C>(
  result: unknown,
  source: (tensor: Tensor) => (call: C) => Tensor,
  path = "the result",
  depth = 0,
): Rebuild<C> {
  switch (depth > maxDepth ? "other" : kindOf(result)) {
    case "tensor":
      return source(result as Tensor);
    case "undefined":
      return () => undefined;
    case "array": {
      const parts = (result as unknown[]).map((part, i) =>
        rebuilder(part, source, `${path}[${i}]`, depth + 1),
      );
      return (call) => parts.map((part) => part(call));
    }
    case "record": {
      const entries = Object.entries(result as object).map(
        ([name, part]) => [name, rebuilder(part, source, `${path}.${name}`, depth + 1)] as const,
      );
      return (call) => Object.fromEntries(entries.map(([name, part]) => [name, part(call)]));
    }
  }
  const isPromise = typeof (result as PromiseLike<unknown> | null)?.then === "function";
  throw new JitError(`${path} is ${describe(result)}`, {
    hint: isPromise
      ? "an async function cannot be replayed: read and wait outside"
      : "return tensors, or arrays and records of them; what else it computes is computed once only",
  });
}
