/**
 * Tensor: a handle with shape, dtype and device, and either memory (`storage`) or the vertex of the lazy graph that computes it
 * (`node`). Its public methods are in ops/methods.ts.
 */

import { aFunction, check, requireSync } from "../core/check.js";
import { type DType, isHalf } from "../core/dtype.js";
import { ArgumentError, DeviceError, ShapeError } from "../core/errors.js";
import { formatValues, inspectable } from "../core/inspect.js";
import { formatShape, type Shape, sameShape, sizeOf } from "../core/shape.js";
import type { Device } from "../device/device.js";
import { type RecordingMark, recorder } from "./observe.js";
import { currentScope } from "./scope.js";
import { changeCount, type Storage } from "./storage.js";

/** One vertex of the lazy graph. Its `op` is declared in op.ts, whose ops compute gradients from tensors. */
export interface Node {
  /** The op's arguments, to which gradients flow. */
  readonly inputs: readonly Tensor[];
  /** The tensors it reads: its inputs, with pending assigned values in place of tensors that have one. */
  readonly values: readonly Tensor[];
  readonly attributes: unknown;
  /** The version each value's storage had when the node was built; 0 for those without one. */
  readonly versions: readonly number[];
  /** Longest path to a tensor with memory; bounds the graph. */
  readonly depth: number;
  /** The module and the composite that made it, while a profile is recorded; see scope.ts. */
  readonly scope: string | undefined;
  /** `changeCount` when the oldest node among it and its inputs was made; the node cannot be stale while that is unchanged. */
  readonly since: number;
  /** Set by the compiler when it last extracted a graph with this node; see `extractGraph`. */
  mark: number;
}

/**
 * A tensor: shape, dtype, device, and either memory (`storage`) or the graph node that computes it (`node`). Made by `tensor`, `zeros`
 * and the other creation functions, not by its constructor. Ops on it are lazy; `data()`, `item()` and `tolist()` compute and read.
 *
 * @example
 * const x = tensor([[1, 2], [3, 4]]);
 * x.shape; // [2, 2]
 * x.mul(2).sum(1); // [6, 14]
 * await x.sum().item(); // 10
 */
export class Tensor {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly device: Device;
  /** Computes it; kept after realization only if gradients may flow through it. */
  node: Node | undefined;
  /** Its memory, once realized; always row-major. */
  storage: Storage | undefined;
  /** An assigned value that the next `step()` or `realize()` writes into `storage`. */
  pending: Tensor | undefined;
  /** The jit recording during which it was made. */
  readonly recording: RecordingMark | undefined = recorder?.mark;
  #requiresGrad = false;
  #grad: Tensor | undefined;

  constructor(shape: Shape, dtype: DType, device: Device, source: { node: Node } | { storage: Storage }) {
    this.shape = shape;
    this.dtype = dtype;
    this.device = device;
    if ("node" in source) this.node = source.node;
    else this.storage = source.storage;
  }

  get requiresGrad(): boolean {
    recorder?.read(this, "requiresGrad", this.#requiresGrad);
    return this.#requiresGrad;
  }

  set requiresGrad(value: boolean) {
    recorder?.write(this, "requiresGrad", this.#requiresGrad);
    this.#requiresGrad = value;
  }

  /**
   * ∂loss/∂this after `backward()`, on tensors made with requiresGrad; may be set by hand.
   * @throws ShapeError, DeviceError for a gradient of another shape, dtype or device.
   */
  get grad(): Tensor | undefined {
    recorder?.read(this, "grad", this.#grad);
    return this.#grad;
  }

  set grad(gradient: Tensor | undefined) {
    if (gradient !== undefined) {
      requireSameKind(gradient, this);
      gradientObserver?.(this);
    }
    recorder?.write(this, "grad", this.#grad);
    this.#grad = gradient;
  }

  get rank(): number {
    return this.shape.length;
  }

  get size(): number {
    return sizeOf(this.shape);
  }

  /** True for tensors that own memory and were not computed from others. */
  get isLeaf(): boolean {
    return this.node === undefined;
  }

  /** Shape, dtype and device; the values if they can be read synchronously (CPU), else the state. */
  toString(): string {
    const { shape, dtype, device, storage, node, requiresGrad } = this;
    const isGone = storage ? storage.disposed : node === undefined;
    const state = isGone
      ? ", disposed"
      : storage
        ? ""
        : `, lazy (${node!.op.name}): await data() computes it`;
    const head = `Tensor ${formatShape(shape)} ${dtype} on ${device.name}${requiresGrad ? ", requiresGrad" : ""}${state}`;
    const values = storage && !isGone ? device.peek?.(storage.buffer) : undefined;
    // The memory of halves holds bits.
    if (values === undefined || isHalf(dtype)) return head;
    return `${head}:${shape.length > 1 ? "\n" : " "}${formatValues(values, shape, dtype === "bool")}`;
  }

  get [Symbol.toStringTag](): string {
    return "Tensor";
  }

  static {
    inspectable(Tensor.prototype);
  }

  /** @throws ArgumentError if JavaScript arithmetic converts the tensor to a number, which would give NaN. */
  [Symbol.toPrimitive](hint: string): string {
    if (hint === "number") {
      throw new ArgumentError(`a tensor of shape ${formatShape(this.shape)} is not a number`, {
        hint: "compute with its methods, x.mul(2), or read it with await x.item()",
      });
    }
    return this.toString();
  }
}

function requireSameKind({ shape, dtype, device }: Tensor, of: Tensor): void {
  if (!sameShape(shape, of.shape) || dtype !== of.dtype) {
    throw new ShapeError(
      `the gradient is ${dtype} ${formatShape(shape)}, its tensor ${of.dtype} ${formatShape(of.shape)}`,
      { op: "grad" },
    );
  }
  if (device !== of.device) {
    throw new DeviceError(`the gradient lives on ${device.name}, its tensor on ${of.device.name}`, {
      op: "grad",
    });
  }
}

/** Whether ops record gradients, and whether they read pending assigned values. */
const mode = { gradient: true, pending: true };

type TensorObserver = (tensor: Tensor) => void;
let observer: TensorObserver | undefined;
let gradientObserver: TensorObserver | undefined;

/** Registers a callback for new nodes: deep graphs are realized, the debug mode realizes every op. */
export function observeNodes(callback: TensorObserver): void {
  observer = callback;
}

/** Registers a callback for new gradients: they are computed before a value that they read changes. */
export function observeGradients(callback: TensorObserver): void {
  gradientObserver = callback;
}

/** Makes `noGrad(async …)` a type error: the call lacks an argument whose type states the reason. */
type OnlySync<T> =
  T extends PromiseLike<unknown> ? [never: "an async function goes on after its first await"] : [];

/**
 * Runs `fn` without recording gradients: tensors computed in it have `requiresGrad` false. Returns the result of `fn`.
 *
 * @example
 * const x = tensor([1], { requiresGrad: true });
 * noGrad(() => square(x)).requiresGrad; // false
 *
 * @throws ArgumentError for async functions and generators: code after the first await would record gradients.
 */
export function noGrad<T>(fn: () => T, ..._: OnlySync<T>): T {
  check("noGrad", "the argument", fn, aFunction);
  return withMode({ ...mode, gradient: false }, () => requireSync("noGrad", fn()));
}

/** Runs backward's gradient functions: `createGraph` keeps recording; inputs are the values of the forward pass. */
export function gradientMode<T>(createGraph: boolean, fn: () => T): T {
  return withMode({ gradient: createGraph, pending: false }, fn);
}

export function isGradEnabled(): boolean {
  return mode.gradient;
}

function withMode<T>(next: typeof mode, fn: () => T): T {
  const before = { ...mode };
  Object.assign(mode, next);
  try {
    return fn();
  } finally {
    Object.assign(mode, before);
  }
}

/** The current value of `tensor` for ops: the pending assigned value if there is one. */
export function currentValue(tensor: Tensor): Tensor {
  return mode.pending && tensor.pending ? tensor.pending : tensor;
}

type ReadObserver = (value: Tensor, input: Tensor) => void;

/** Called for every tensor that ops read while a gradient rule runs on a possibly stale graph, or a module's forward runs. */
let readObserver: ReadObserver | undefined;

export function observingReads<T>(callback: ReadObserver | undefined, fn: () => T): T {
  const before = readObserver;
  readObserver = callback;
  try {
    return fn();
  } finally {
    readObserver = before;
  }
}

/** Versions of values that were never written, which most are: shared, because graphs are large. */
const unchanged: readonly (readonly number[])[] = [[], [0], [0, 0], [0, 0, 0]];

/** Adds a node to the lazy graph. Shapes and dtypes have been checked by the op. */
export function createNode(
  op: Node["op"],
  inputs: readonly Tensor[],
  attributes: unknown,
  shape: Shape,
  dtype: DType,
  device: Device = inputs[0].device,
): Tensor {
  const values = inputs.some((input) => input.pending) ? inputs.map(currentValue) : inputs;
  return createNodeOf(op, inputs, values, attributes, shape, dtype, device);
}

/** As `createNode`, with explicit values to read. */
export function createNodeOf(
  op: Node["op"],
  inputs: readonly Tensor[],
  values: readonly Tensor[],
  attributes: unknown,
  shape: Shape,
  dtype: DType,
  device: Device,
): Tensor {
  recorder?.use(inputs);
  let depth = 0;
  let since = changeCount;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    readObserver?.(value, inputs[i]);
    if (value.device !== device) {
      throw new DeviceError(`operands live on ${value.device.name} and ${device.name}`, {
        op: op.name,
        hint: "move one with .to(device)",
      });
    }
    const { node } = value;
    if (node === undefined) continue;
    if (value.storage === undefined) depth = Math.max(depth, node.depth);
    since = Math.min(since, node.since);
  }
  let versions = unchanged[values.length];
  if (versions === undefined || values.some((value) => value.storage?.version)) {
    versions = values.map((value) => value.storage?.version ?? 0);
  }
  const node: Node = {
    op,
    inputs,
    values,
    attributes,
    versions,
    depth: depth + 1,
    scope: currentScope(),
    since,
    mark: -1,
  };
  const result = new Tensor(shape, dtype, device, { node });
  const differentiable = op.gradient !== undefined && dtype === "float32";
  result.requiresGrad = mode.gradient && differentiable && inputs.some((input) => input.requiresGrad);
  observer?.(result);
  return result;
}
