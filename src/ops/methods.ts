/**
 * The methods of Tensor: every op whose first argument is a tensor, and what moves values in and out. Import
 * Tensor from here to have them.
 */
import { type BackwardOptions, backward } from "../autograd/backward.js";
import { aDType, check, either } from "../core/check.js";
import { type DType, isHalf, type TypedArray } from "../core/dtype.js";
import { ShapeError } from "../core/errors.js";
import { formatShape, type Shape, sizeOf } from "../core/shape.js";
import type { Device } from "../device/device.js";
import { type DeviceChoice, deviceNamed, deviceOrName } from "../device/select.js";
import { currentValue, Tensor } from "../graph/tensor.js";
import { assign } from "../runtime/assign.js";
import { dispose } from "../runtime/dispose.js";
import { leaf, readTensor } from "../runtime/host_data.js";
import { readPieces } from "../runtime/pieces.js";
import { realize } from "../runtime/realize.js";
import { sessionOf } from "../runtime/session.js";
import { copied, detached } from "./composite.js";
import * as ops from "./index.js";

export { Tensor };

/** Op functions that are methods under their own name: the tensor is their first argument. */
const opMethods = {
  abs: ops.abs,
  neg: ops.neg,
  sign: ops.sign,
  exp: ops.exp,
  expm1: ops.expm1,
  log: ops.log,
  log1p: ops.log1p,
  sqrt: ops.sqrt,
  rsqrt: ops.rsqrt,
  reciprocal: ops.reciprocal,
  sin: ops.sin,
  cos: ops.cos,
  tanh: ops.tanh,
  sigmoid: ops.sigmoid,
  erf: ops.erf,
  relu: ops.relu,
  square: ops.square,
  clamp: ops.clamp,
  floor: ops.floor,
  ceil: ops.ceil,
  round: ops.round,
  trunc: ops.trunc,
  isnan: ops.isnan,
  add: ops.add,
  sub: ops.sub,
  mul: ops.mul,
  div: ops.div,
  pow: ops.pow,
  mod: ops.mod,
  maximum: ops.maximum,
  minimum: ops.minimum,
  eq: ops.eq,
  ne: ops.ne,
  lt: ops.lt,
  le: ops.le,
  gt: ops.gt,
  ge: ops.ge,
  logicalAnd: ops.logicalAnd,
  logicalOr: ops.logicalOr,
  logicalXor: ops.logicalXor,
  logicalNot: ops.logicalNot,
  where: ops.where,
  cast: ops.cast,
  gelu: ops.gelu,
  silu: ops.silu,
  softplus: ops.softplus,
  leakyRelu: ops.leakyRelu,
  dropout: ops.dropout,
  sum: ops.sum,
  mean: ops.mean,
  max: ops.max,
  min: ops.min,
  prod: ops.prod,
  argmax: ops.argmax,
  argmin: ops.argmin,
  variance: ops.variance,
  std: ops.std,
  norm2: ops.norm2,
  any: ops.any,
  all: ops.all,
  logsumexp: ops.logsumexp,
  softmax: ops.softmax,
  logSoftmax: ops.logSoftmax,
  matmul: ops.matmul,
  gather: ops.gather,
  scatterAdd: ops.scatterAdd,
  indexSelect: ops.indexSelect,
  reshape: ops.reshape,
  flatten: ops.flatten,
  permute: ops.permute,
  transpose: ops.transpose,
  squeeze: ops.squeeze,
  unsqueeze: ops.unsqueeze,
  expand: ops.expand,
  slice: ops.slice,
  narrow: ops.narrow,
  flip: ops.flip,
  split: ops.split,
  pad: ops.pad,
};

/** An op as a method: without its first argument. */
type AsMethod<F> = F extends (x: Tensor, ...rest: infer R) => infer T ? (...rest: R) => T : never;

type OpMethods = { readonly [Name in keyof typeof opMethods]: AsMethod<(typeof opMethods)[Name]> };

/** Numbers (or booleans) nested as deep as the tensor has dimensions; a plain one for rank 0. */
export type NestedValues = number | boolean | NestedValues[];

declare module "../graph/tensor.js" {
  interface Tensor extends OpMethods {
    /** Adds ∂this/∂t to `t.grad` of every tensor t made with requiresGrad that this depends on. */
    backward(options?: BackwardOptions): void;
    /**
     * The values in row-major order; `bool` as a Uint8Array of 0 and 1, `float16` and `bfloat16` as their bits in a Uint16Array (their
     * values: `t.to("float32").data()`). Computes lazy tensors.
     */
    data(): Promise<TypedArray>;
    /**
     * The same in pieces of 4 MiB, in order, for tensors of which memory should not hold another copy.
     * @throws StaleTensorError if the tensor is changed before the last.
     */
    pieces(): AsyncGenerator<TypedArray>;
    /** The one value of a tensor of size 1. @throws ShapeError for other sizes. */
    item(): Promise<number>;
    /** The values as nested arrays. */
    tolist(): Promise<NestedValues>;
    /** Computes the tensor now, if it is lazy, and returns it. */
    realize(): this;
    /** The same values without gradient history. Shares memory where there is some. */
    detach(): Tensor;
    /** A differentiable copy with its own memory. */
    clone(): Tensor;
    /**
     * Frees the memory; using the tensor afterwards throws StaleTensorError. What the next step needs of it
     * (gradients, losses, running statistics) is computed before.
     */
    dispose(): void;
    [Symbol.dispose](): void;
    /** Gives a tensor with memory a new value of the same shape and dtype, written in place by the next step. */
    assign(value: Tensor): void;
    /** Converts to a dtype (lazily), or copies to another device (through the host; the copy is a leaf). */
    to(target: DType): Tensor;
    /** A device's name stands for the default device if that has it, else for one that all who name it share. */
    to(target: Device | DeviceChoice): Promise<Tensor>;
  }
}

const valueMethods: Pick<
  Tensor,
  | "backward"
  | "data"
  | "pieces"
  | "item"
  | "tolist"
  | "realize"
  | "detach"
  | "clone"
  | "dispose"
  | "assign"
  | "to"
> &
  ThisType<Tensor> = {
  backward(options) {
    backward(this, options);
  },
  data() {
    return readTensor(this);
  },
  pieces() {
    return readPieces(this);
  },
  async item() {
    if (this.size !== 1) {
      throw new ShapeError(`one value is asked for, but the shape is ${formatShape(this.shape)}`, {
        op: "item",
      });
    }
    return (await valuesOf(this))[0];
  },
  async tolist() {
    return nest(await valuesOf(this), this.shape, this.dtype === "bool");
  },
  realize() {
    realize([this]);
    return this;
  },
  detach() {
    const value = currentValue(this);
    // Captured functions identify arguments by their handles, so no new handle may be made.
    const captured = sessionOf(this.device).capture !== undefined;
    if (value.storage === undefined || captured) return detached(this);
    return new Tensor(value.shape, value.dtype, value.device, { storage: value.storage });
  },
  clone() {
    const copy = copied(this);
    // At once, so that the original may be changed or disposed; a captured function only records it.
    if (sessionOf(this.device).capture === undefined) realize([copy]);
    return copy;
  },
  dispose() {
    dispose(this);
  },
  assign(value) {
    assign(this, value);
  },
  to: convert,
};

const dtypeOrDevice = either(aDType, deviceOrName);

function convert(this: Tensor, target: DType): Tensor;
function convert(this: Tensor, target: Device | DeviceChoice): Promise<Tensor>;
function convert(this: Tensor, target: DType | Device | DeviceChoice): Tensor | Promise<Tensor> {
  if (aDType[1](target)) return ops.cast(this, target as DType);
  check("to", "the target", target, dtypeOrDevice);
  return moved(this, target as Device | DeviceChoice);
}

async function moved(x: Tensor, target: Device | DeviceChoice): Promise<Tensor> {
  const device = await deviceNamed("to", target);
  if (x.device === device) return x;
  const copy = leaf(device, x.dtype, x.shape, await readTensor(x));
  copy.requiresGrad = x.requiresGrad;
  return copy;
}

/** The values as numbers, also for 16-bit floats. */
async function valuesOf(x: Tensor): Promise<TypedArray> {
  return readTensor(isHalf(x.dtype) ? ops.cast(x, "float32") : x);
}

function nest(values: TypedArray, shape: Shape, asBoolean: boolean): NestedValues {
  if (shape.length === 0) return asBoolean ? values[0] !== 0 : values[0];
  const inner = shape.slice(1);
  const step = sizeOf(inner);
  return Array.from({ length: shape[0] }, (_, i) =>
    nest(values.subarray(i * step, (i + 1) * step), inner, asBoolean),
  );
}

function install(name: PropertyKey, value: (this: Tensor, ...rest: never[]) => unknown): void {
  Object.defineProperty(Tensor.prototype, name, { value, writable: true, configurable: true });
}

for (const [name, op] of Object.entries(opMethods)) {
  const call = op as (x: Tensor, ...rest: never[]) => unknown;
  install(name, function (...rest) {
    return call(this, ...rest);
  });
}
for (const [name, method] of Object.entries(valueMethods)) install(name, method);
// Node 20 has Symbol.dispose; browsers that lack it lack `using` as well.
if (Symbol.dispose) install(Symbol.dispose, valueMethods.dispose);
