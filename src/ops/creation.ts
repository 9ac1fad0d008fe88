/** Tensors made of host data, of one value, or of a sequence. */

import {
  aBoolean,
  aDevice,
  aDType,
  check,
  checkOptions,
  describe,
  integers,
  type Kind,
  type Kinds,
} from "../core/check.js";
import { type DType, isHalf, newArray, type TypedArray } from "../core/dtype.js";
import { elementOf } from "../core/element.js";
import { ArgumentError, DTypeError, ShapeError } from "../core/errors.js";
import { checkShape, formatShape, type Shape, sameShape, sizeOf } from "../core/shape.js";
import { deviceOf } from "../device/default.js";
import type { Device } from "../device/device.js";
import { requireTensor } from "../graph/require.js";
import type { Tensor } from "../graph/tensor.js";
import { leaf } from "../runtime/host_data.js";
import { add, mul } from "./elementwise.js";
import { cast } from "./promotion.js";
import { constant, iota } from "./source.js";

export { scalar } from "./source.js";

/** Numbers or booleans in arrays of arrays of equal lengths, as deep as the tensor has dimensions. */
export type NestedArray = readonly (number | boolean | NestedArray)[];

/** Options of tensors made from one value or a sequence. */
export interface CreationOptions {
  /** Default: that of `setDefaultDevice`. */
  readonly device?: Device;
  /** Default: as each function says. */
  readonly dtype?: DType;
}

const creationOptions: Kinds<CreationOptions> = { device: aDevice, dtype: aDType };

/** Options of `tensor`. */
export interface TensorOptions extends CreationOptions {
  /** Default: as the arrays are nested; [length] for a typed array. */
  readonly shape?: Shape;
  /** Collect gradients in `.grad`. float32 only; default false. */
  readonly requiresGrad?: boolean;
}

const tensorOptions = (): Kinds<TensorOptions> => ({
  ...creationOptions,
  shape: integers,
  requiresGrad: aBoolean,
});

/**
 * A tensor with its own memory, filled from host data. Without `dtype`: float32 for numbers, bool for booleans,
 * the dtype of a typed array (a Float64Array gives float32). Integer dtypes truncate fractions towards zero.
 * float16 and bfloat16 round numbers to the nearest half; a Uint16Array holds the bits of halves.
 *
 * @example
 * tensor([[1, 2], [3, 4]]).shape; // [2, 2]
 * tensor(new Int32Array([3, 1])).dtype; // "int32"
 * tensor([1, 2, 3, 4], { shape: [2, 2] }); // [[1, 2], [3, 4]]
 *
 * @throws ShapeError if the data does not fill the shape, DeviceError without a device, ArgumentError for numbers outside the range
 * of an integer dtype and for anything but numbers and booleans.
 */
export function tensor(
  data: TypedArray | NestedArray | number | boolean,
  options: TensorOptions = {},
): Tensor {
  checkOptions("tensor", options, tensorOptions());
  check("tensor", "the data", data, hostValues);
  const device = deviceOf("tensor", options.device);
  const values = ArrayBuffer.isView(data) ? data : flattenNested(data);
  const shape = options.shape ?? (ArrayBuffer.isView(data) ? [data.length] : nestedShape(data));
  checkShape(shape, "tensor");
  if (values.length !== sizeOf(shape)) {
    throw new ShapeError(`${values.length} elements given for shape ${formatShape(shape)}`, { op: "tensor" });
  }
  const dtype = options.dtype ?? dtypeOf(values);
  // Numbers become halves on the device, when they are needed.
  const given = isHalf(dtype) && !(values instanceof Uint16Array) ? "float32" : dtype;
  const result = cast(leaf(device, given, shape, toArray(values, given)), dtype);
  if (options.requiresGrad) {
    if (dtype !== "float32") {
      throw new DTypeError(`only float32 tensors have gradients, not ${dtype}`, { op: "tensor" });
    }
    result.requiresGrad = true;
  }
  return result;
}

const hostValues: Kind = [
  "numbers in nested arrays, a typed array or a number",
  (data) =>
    Array.isArray(data) ||
    (ArrayBuffer.isView(data) && !(data instanceof DataView)) ||
    typeof data === "number" ||
    typeof data === "boolean",
];

type HostValues = TypedArray | readonly (number | boolean)[];

function flattenNested(data: NestedArray | number | boolean): (number | boolean)[] {
  return Array.isArray(data) ? data.flatMap(flattenNested) : [data as number | boolean];
}

/** @throws ShapeError if the lengths inside one dimension differ. */
function nestedShape(data: NestedArray | number | boolean): number[] {
  if (!Array.isArray(data)) return [];
  if (data.length === 0) return [0];
  const inner = nestedShape(data[0]);
  for (const part of data) {
    const other = nestedShape(part);
    if (!sameShape(inner, other)) {
      throw new ShapeError(
        `nested arrays have different lengths, ${formatShape(inner)} and ${formatShape(other)}`,
        { op: "tensor" },
      );
    }
  }
  return [data.length, ...inner];
}

function dtypeOf(values: HostValues): DType {
  if (values instanceof Int32Array) return "int32";
  if (values instanceof Uint8Array) return "uint8";
  if (values instanceof Int8Array) return "int8";
  const isBool =
    values.length > 0 && Array.prototype.every.call(values, (value) => typeof value === "boolean");
  return isBool ? "bool" : "float32";
}

/** A Float64Array stays one: the reference device keeps its precision, the others round. */
function toArray(values: HostValues, dtype: DType): TypedArray {
  const result = newArray(dtype, 0);
  if (dtype === "float32" && values instanceof Float64Array) return values;
  if (dtype !== "bool" && values.constructor === result.constructor) return values as TypedArray;
  const array = newArray(dtype, values.length);
  for (let i = 0; i < values.length; i++) array[i] = elementOf("tensor", values[i], dtype);
  return array;
}

/**
 * A tensor of `shape` with every element `value`. Lazy: it uses memory only if a kernel needs it there. Default dtype float32.
 *
 * @example
 * full([2, 2], 7); // [[7, 7], [7, 7]]
 *
 * @throws ArgumentError for a value outside the range of the dtype, as `tensor`.
 */
export function full(shape: Shape, value: number | boolean, options: CreationOptions = {}): Tensor {
  return filled("full", shape, value, options);
}

function filled(op: string, shape: Shape, value: number | boolean, options: CreationOptions): Tensor {
  checkShape(shape, op);
  const { device, dtype = "float32" } = checkOptions(op, options, creationOptions);
  const element = constant(
    elementOf(op, value, dtype),
    shape,
    isHalf(dtype) ? "float32" : dtype,
    deviceOf(op, device),
  );
  return cast(element, dtype);
}

/**
 * A tensor of zeros; lazy, float32 by default.
 *
 * @example
 * zeros([2, 3]); // [[0, 0, 0], [0, 0, 0]]
 */
export function zeros(shape: Shape, options: CreationOptions = {}): Tensor {
  return filled("zeros", shape, 0, options);
}

/**
 * A tensor of ones; lazy, float32 by default.
 *
 * @example
 * ones([3], { dtype: "int32" }); // [1, 1, 1]
 */
export function ones(shape: Shape, options: CreationOptions = {}): Tensor {
  return filled("ones", shape, 1, options);
}

/**
 * Zeros with the shape, dtype and device of x.
 *
 * @example
 * zerosLike(tensor([[1, 2]])); // [[0, 0]]
 */
export function zerosLike(x: Tensor): Tensor {
  requireTensor("zerosLike", x);
  return constant(0, x.shape, x.dtype, x.device);
}

/**
 * Ones with the shape, dtype and device of x.
 *
 * @example
 * onesLike(tensor([[1, 2]])); // [[1, 1]]
 */
export function onesLike(x: Tensor): Tensor {
  requireTensor("onesLike", x);
  return constant(1, x.shape, x.dtype, x.device);
}

/**
 * start, start + step, … below `stop`; `arange(stop)` starts at 0, the default step is 1. int32 if all three are integers, else
 * float32. Lazy.
 *
 * @example
 * arange(4); // [0, 1, 2, 3]
 * arange(1, 2, 0.25); // [1, 1.25, 1.5, 1.75]
 *
 * @throws ArgumentError for bounds that are not finite or lie outside the range of an integer dtype.
 */
export function arange(stop: number, options?: CreationOptions): Tensor;
export function arange(start: number, stop: number, options?: CreationOptions): Tensor;
export function arange(start: number, stop: number, step: number, options?: CreationOptions): Tensor;
export function arange(...args: readonly (number | CreationOptions | undefined)[]): Tensor {
  const hasOptions = args.length > 1 && typeof args.at(-1) !== "number";
  const { device: given, dtype } = checkOptions(
    "arange",
    hasOptions ? (args.at(-1) as CreationOptions | undefined) : undefined,
    creationOptions,
  );
  const device = deviceOf("arange", given);
  const numbers = (hasOptions ? args.slice(0, -1) : args) as number[];
  const [start, stop, step = 1] = numbers.length === 1 ? [0, numbers[0]] : numbers;
  if (step === 0 || numbers.length > 3 || ![start, stop, ...numbers].every(Number.isFinite)) {
    throw new ArgumentError(
      `bounds are finite and the step is not 0, got ${numbers.map(describe).join(", ")}`,
      { op: "arange" },
    );
  }
  const shape = [Math.max(0, Math.ceil((stop - start) / step))];
  checkShape(shape, "arange");
  const whole = [start, stop, step].every(Number.isInteger);
  const target = dtype ?? (whole ? "int32" : "float32");
  if (shape[0] > 0)
    for (const end of [start, start + step * (shape[0] - 1)]) elementOf("arange", end, target);
  let values = iota(0, shape, device);
  if (!whole) values = cast(values, "float32");
  if (step !== 1) values = mul(values, step);
  if (start !== 0) values = add(values, start);
  return cast(values, target);
}
