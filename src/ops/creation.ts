/** Tensors made of host data, of one value, or of a sequence. */
import { leaf } from "../compiler/realize.js";
import type { Device } from "../device/device.js";
import { type DType, newArray, type TypedArray } from "../tensor/dtype.js";
import { ArgumentError, DTypeError, ShapeError } from "../tensor/errors.js";
import { checkShape, formatShape, type Shape, sameShape, sizeOf } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { add, mul } from "./elementwise.js";
import { cast } from "./promotion.js";
import { constant, iota } from "./source.js";

export { scalar } from "./source.js";

/** Numbers or booleans in arrays of arrays of equal lengths, as deep as the tensor has dimensions. */
export type NestedArray = readonly (number | boolean | NestedArray)[];

export interface CreationOptions {
  readonly device: Device;
  readonly dtype?: DType;
}

export interface TensorOptions extends CreationOptions {
  /** Default: as the arrays are nested; [length] for a typed array. */
  readonly shape?: Shape;
  /** Collect gradients in `.grad`. float32 only; default false. */
  readonly requiresGrad?: boolean;
}

/**
 * A tensor with its own memory, filled from host data. Without `dtype`: float32 for numbers, bool for booleans,
 * the dtype of a typed array (a Float64Array gives float32).
 *
 * @example
 * tensor([[1, 2], [3, 4]], { device });
 * tensor(new Int32Array([3, 1]), { device });
 *
 * @throws ShapeError if the data does not fill the shape.
 */
export function tensor(data: TypedArray | NestedArray | number, options: TensorOptions): Tensor {
  const values = ArrayBuffer.isView(data) ? data : flattenNested(data);
  const shape = options.shape ?? (ArrayBuffer.isView(data) ? [data.length] : nestedShape(data));
  checkShape(shape, "tensor");
  if (values.length !== sizeOf(shape)) {
    throw new ShapeError(`${values.length} elements given for shape ${formatShape(shape)}`, { op: "tensor" });
  }
  const dtype = options.dtype ?? dtypeOf(values);
  const result = leaf(options.device, dtype, shape, toArray(values, dtype));
  if (options.requiresGrad) {
    if (dtype !== "float32") {
      throw new DTypeError(`only float32 tensors have gradients, not ${dtype}`, { op: "tensor" });
    }
    result.requiresGrad = true;
  }
  return result;
}

type HostValues = TypedArray | readonly (number | boolean)[];

function flattenNested(data: NestedArray | number | boolean): (number | boolean)[] {
  return typeof data === "object" ? data.flatMap(flattenNested) : [data];
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
  return typeof values[0] === "boolean" ? "bool" : "float32";
}

/** A Float64Array stays one: the reference device keeps its precision, the others round. */
function toArray(values: HostValues, dtype: DType): TypedArray {
  const result = newArray(dtype, 0);
  if (dtype === "float32" && values instanceof Float64Array) return values;
  if (dtype !== "bool" && values.constructor === result.constructor) return values as TypedArray;
  const array = newArray(dtype, values.length);
  for (let i = 0; i < values.length; i++)
    array[i] = dtype === "bool" ? Number(!!values[i]) : Number(values[i]);
  return array;
}

/** A tensor of one value. Lazy: it takes no memory until something needs it there. Default dtype float32. */
export function full(shape: Shape, value: number, { device, dtype = "float32" }: CreationOptions): Tensor {
  checkShape(shape, "full");
  return constant(value, shape, dtype, device);
}

/** Zeros, float32 by default. */
export function zeros(shape: Shape, options: CreationOptions): Tensor {
  return full(shape, 0, options);
}

/** Ones, float32 by default. */
export function ones(shape: Shape, options: CreationOptions): Tensor {
  return full(shape, 1, options);
}

/** Zeros with the shape, dtype and device of x. */
export function zerosLike(x: Tensor): Tensor {
  return constant(0, x.shape, x.dtype, x.device);
}

/** Ones with the shape, dtype and device of x. */
export function onesLike(x: Tensor): Tensor {
  return constant(1, x.shape, x.dtype, x.device);
}

/**
 * start, start + step, … before `stop`; `arange(stop)` starts at 0. int32 if all three are whole numbers, else
 * float32.
 */
export function arange(stop: number, options: CreationOptions): Tensor;
export function arange(start: number, stop: number, options: CreationOptions): Tensor;
export function arange(start: number, stop: number, step: number, options: CreationOptions): Tensor;
export function arange(
  ...args: [...number[], CreationOptions] | readonly (number | CreationOptions)[]
): Tensor {
  const { device, dtype } = args[args.length - 1] as CreationOptions;
  const numbers = args.slice(0, -1) as number[];
  const [start, stop, step = 1] = numbers.length === 1 ? [0, numbers[0]] : numbers;
  if (step === 0 || !numbers.every(Number.isFinite)) {
    throw new ArgumentError(`bounds are finite and the step is not 0, got ${numbers.join(", ")}`, {
      op: "arange",
    });
  }
  const shape = [Math.max(0, Math.ceil((stop - start) / step))];
  checkShape(shape, "arange");
  const whole = [start, stop, step].every(Number.isInteger);
  let values = iota(0, shape, device);
  if (!whole) values = cast(values, "float32");
  if (step !== 1) values = mul(values, step);
  if (start !== 0) values = add(values, start);
  return cast(values, dtype ?? (whole ? "int32" : "float32"));
}
