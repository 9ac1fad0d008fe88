/** Structures of tensors, the arguments and results of jit functions and modules: arrays and records, nested to any depth. */
import { ArgumentError, JitError } from "../core/errors.js";
import { Tensor } from "../graph/tensor.js";

/** Argument parts that are not tensors; a call with other values has another structure and is recorded anew. */
export type Fixed = undefined | null | boolean | string;

/** An argument of a function given to `jit`, as the function sees it: a tensor (also for numbers of the call), or an array or record. */
export type JitArgument = Tensor | Fixed | readonly JitArgument[] | { readonly [name: string]: JitArgument };

/** The argument of a call: a number may be passed where the function has a tensor. */
export type Given<T> = T extends Tensor
  ? Tensor | number
  : T extends object
    ? { readonly [K in keyof T]: Given<T[K]> }
    : T;

/**
 * Result of a function given to `jit`: undefined, a tensor, or an array or record. Parts that are not tensors are constants of the
 * recording.
 */
export type JitResult =
  | Tensor
  | undefined
  | readonly (JitResult | Fixed | number)[]
  | { readonly [name: string]: JitResult | Fixed | number };

/** The arguments of one call. */
export interface Arguments {
  readonly values: readonly unknown[];
  /** In the order of `values`; numbers as well. */
  readonly tensors: readonly Tensor[];
  readonly numbers: readonly number[];
  /** Equal for calls of the same structure, shapes, dtypes and `requiresGrad`. */
  readonly key: string;
}

/** Arguments under construction. */
interface Growing {
  readonly values: readonly unknown[];
  readonly tensors: Tensor[];
  readonly numbers: number[];
  key: string;
}

/** Maximum depth; exceeded by a value that contains itself. */
const maxDepth = 32;

type Kind = "tensor" | "fixed" | "array" | "record" | "number" | "other";

function kindOf(value: unknown): Kind {
  if (value instanceof Tensor) return "tensor";
  if (typeof value === "number") return "number";
  if (value === undefined || value === null) return "fixed";
  if (typeof value === "boolean" || typeof value === "string") return "fixed";
  if (Array.isArray(value)) return "array";
  if (typeof value !== "object") return "other";
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null ? "record" : "other";
}

/** For messages: `a number`, `a Map`. */
function describe(value: unknown): string {
  if (value === null) return "null";
  return `a ${typeof value === "object" ? (value.constructor?.name ?? "object") : typeof value}`;
}

/** @throws ArgumentError for anything else than tensors, numbers, fixed values, and arrays and records of them. */
export function readArguments(values: readonly unknown[]): Arguments {
  const args: Growing = { values, tensors: [], numbers: [], key: "" };
  for (let i = 0; i < values.length; i++) read(args, values[i], i, 0);
  return args;
}

/** Adds a part of the arguments, and its structure to `key`. */
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
    case "fixed":
      args.key += `${value === undefined ? "u" : JSON.stringify(value)};`;
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
    hint: "arguments are tensors, numbers, booleans, strings, and arrays and records of them; other values belong in a closure",
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
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value);
  return Object.fromEntries(entries.map(([name, part]) => [name, mapArguments(part, tensor, number)]));
}

/** Builds the result from the tensors of one call. */
export type Rebuild<C> = (call: C) => JitResult;

/**
 * @param source Locates a tensor of the result in later calls.
 * @param fixed Receives the parts of the result that are not tensors.
 * @throws JitError for anything else than tensors, and arrays and records of them and of fixed values.
 */
export function rebuilder<C>(
  result: unknown,
  source: (tensor: Tensor) => (call: C) => Tensor,
  fixed: unknown[],
  path = "the result",
  depth = 0,
): Rebuild<C> {
  const kind = depth > maxDepth ? "other" : kindOf(result);
  // A value computed while recording would be returned by every call.
  const isFixed = depth > 0 ? kind === "fixed" || kind === "number" : result === undefined;
  if (isFixed) {
    fixed.push(result);
    return () => result as JitResult;
  }
  switch (kind) {
    case "tensor":
      return source(result as Tensor);
    case "array": {
      const parts = (result as unknown[]).map((part, i) =>
        rebuilder(part, source, fixed, `${path}[${i}]`, depth + 1),
      );
      return (call) => parts.map((part) => part(call));
    }
    case "record": {
      const entries = Object.entries(result as object).map(
        ([name, part]) => [name, rebuilder(part, source, fixed, `${path}.${name}`, depth + 1)] as const,
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

/** The tensors in a structure, in order. */
export function tensorsIn(value: unknown, depth = 0): Tensor[] {
  if (value instanceof Tensor) return [value];
  const kind = depth > maxDepth ? "other" : kindOf(value);
  if (kind !== "array" && kind !== "record") return [];
  return Object.values(value as object).flatMap((part) => tensorsIn(part, depth + 1));
}
