/**
 * Tensor: a handle with shape, dtype and device, and either memory (`storage`) or the recipe to compute it
 * (`node`, one vertex of the lazy graph). The methods that users call stand in ops/methods.ts.
 */
import type { Device } from "../device/device.js";
import type { DType } from "./dtype.js";
import { DeviceError } from "./errors.js";
import type { Op } from "./op.js";
import { formatShape, type Shape, sizeOf } from "./shape.js";
import type { Storage } from "./storage.js";

/** One vertex of the lazy graph. */
export interface Node {
  readonly op: Op;
  /** What the op was given: where gradients go. */
  readonly inputs: readonly Tensor[];
  /** What it reads: the same tensors, or the value that was assigned to one and is not written yet. */
  readonly values: readonly Tensor[];
  readonly attributes: unknown;
  /** The version each value's storage had when the node was built; 0 for those without one. */
  readonly versions: readonly number[];
  /** Longest path to a tensor with memory; bounds the graph. */
  readonly depth: number;
  /** The module that made it, while a profile is taken. */
  readonly scope: string | undefined;
  /** Set by the compiler when it last extracted a graph with this node; see `extractGraph`. */
  mark: number;
}

export class Tensor {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly device: Device;
  /** How to compute it; kept after realization only while a gradient may flow through it. */
  node: Node | undefined;
  /** Its memory, once realized; always row-major. */
  storage: Storage | undefined;
  /** An assigned value that the next `step()` or `realize()` writes into `storage`. */
  pending: Tensor | undefined;
  requiresGrad = false;
  /** ∂loss/∂this after `backward()`, on tensors made with requiresGrad. */
  grad: Tensor | undefined;

  constructor(shape: Shape, dtype: DType, device: Device, source: { node: Node } | { storage: Storage }) {
    this.shape = shape;
    this.dtype = dtype;
    this.device = device;
    if ("node" in source) this.node = source.node;
    else this.storage = source.storage;
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

  toString(): string {
    return `Tensor(${formatShape(this.shape)}, ${this.dtype}, ${this.device.name})`;
  }
}

/** Whether ops record what a gradient needs, and whether they see assigned values before they are written. */
const mode = { gradient: true, pending: true };

/** What ops that are called now belong to: a module's name, while a profile is taken. */
let scope: string | undefined;

export function currentScope(): string | undefined {
  return scope;
}

/** Runs `fn`; the nodes that it makes belong to `name`. */
export function inScope<T>(name: string, fn: () => T): T {
  const leave = enterScope(name);
  try {
    return fn();
  } finally {
    leave();
  }
}

/** The same for what runs until the returned function is called, over awaits. */
export function enterScope(name: string): () => void {
  const before = scope;
  scope = name;
  return () => {
    scope = before;
  };
}

type NodeObserver = (tensor: Tensor) => void;
let observer: NodeObserver | undefined;

/** The compiler watches new nodes: deep graphs realize themselves, the debug mode realizes every op. */
export function observeNodes(callback: NodeObserver): void {
  observer = callback;
}

/** Runs `fn` without recording gradients: what it computes has `requiresGrad` false. */
export function noGrad<T>(fn: () => T): T {
  return withMode({ ...mode, gradient: false }, fn);
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

/** What an op reads when it is given `tensor` now: the assigned value if one is waiting to be written. */
export function currentValue(tensor: Tensor): Tensor {
  return mode.pending && tensor.pending ? tensor.pending : tensor;
}

/** Adds a node to the lazy graph. Shapes and dtypes have been checked by the op. */
export function createNode(
  op: Op,
  inputs: readonly Tensor[],
  attributes: unknown,
  shape: Shape,
  dtype: DType,
  device: Device = inputs[0].device,
): Tensor {
  const values = inputs.map(currentValue);
  let depth = 0;
  for (const value of values) {
    if (value.device !== device) {
      throw new DeviceError(`operands live on ${value.device.name} and ${device.name}`, {
        op: op.name,
        hint: "move one with .to(device)",
      });
    }
    if (value.storage === undefined && value.node) depth = Math.max(depth, value.node.depth);
  }
  const versions = values.map((value) => value.storage?.version ?? 0);
  const node: Node = { op, inputs, values, attributes, versions, depth: depth + 1, scope, mark: -1 };
  const result = new Tensor(shape, dtype, device, { node });
  const differentiable = op.gradient !== undefined && dtype === "float32";
  result.requiresGrad = mode.gradient && differentiable && inputs.some((input) => input.requiresGrad);
  observer?.(result);
  return result;
}
