/** Host data and tensors: uploads into new leaves, overwriting of memory, and reading of values. */
import { aDevice, aDType, check, type Kind } from "../core/check.js";
import { type DType, newArray, type TypedArray } from "../core/dtype.js";
import { DeviceError, JitError, ShapeError, StaleTensorError } from "../core/errors.js";
import { afterCollection, isTurnDue, takeTurn } from "../core/event_loop.js";
import { checkShape, formatShape, type Shape, sizeOf } from "../core/shape.js";
import type { BufferRange, Device } from "../device/device.js";
import { isRecorded, recorder } from "../graph/observe.js";
import { requireTensor } from "../graph/require.js";
import { Storage } from "../graph/storage.js";
import { Tensor } from "../graph/tensor.js";
import { commit } from "./commit.js";
import { realize } from "./realize.js";
import { sessionOf } from "./session.js";

const aTypedArray: Kind = [
  "a typed array",
  (value) => ArrayBuffer.isView(value) && !(value instanceof DataView),
];

/**
 * Uploads host data into a new leaf tensor. `data` has `sizeOf(shape)` elements and is copied; undefined leaves the memory
 * uninitialized, for `overwrite`. `float32Storage` requests float32 storage on devices that otherwise store half floats, if they support
 * it. Most programs use `tensor`.
 *
 * @example
 * leaf(defaultDevice(), "float32", [2], Float32Array.of(1, 2)); // [1, 2]
 *
 * @throws OutOfMemoryError
 */
export function leaf(
  device: Device,
  dtype: DType,
  shape: Shape,
  data: TypedArray | undefined,
  { float32Storage = false }: { readonly float32Storage?: boolean } = {},
): Tensor {
  check("leaf", "the device", device, aDevice);
  check("leaf", "the dtype", dtype, aDType);
  checkShape(shape, "leaf");
  const size = sizeOf(shape);
  if (data && check("leaf", "the data", data, aTypedArray).length !== size) {
    throw new ShapeError(`${data.length} elements given for shape ${formatShape(shape)}`, { op: "tensor" });
  }
  const buffer = sessionOf(device).withMemory(() => device.allocate(dtype, size));
  const tensor = new Tensor(shape, dtype, device, { storage: new Storage(device, buffer) });
  if (float32Storage) useFloat32Storage(tensor);
  if (data) {
    device.write(buffer, data);
    recorder?.upload(tensor, data);
  }
  return tensor;
}

/** Requests float32 storage for a float32 tensor with memory, if the device supports it. */
export function useFloat32Storage({ device, dtype, storage }: Tensor): void {
  if (dtype !== "float32") return;
  try {
    device.useFloat32Storage?.(storage!.buffer);
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
  }
}

/**
 * Overwrites a tensor's memory, or the elements of `range`, with host data of the same length, at once; lazy tensors built on it become
 * stale.
 */
export function overwrite(tensor: Tensor, data: TypedArray, range?: BufferRange): void {
  if (recorder !== undefined && !isRecorded(tensor)) {
    throw new JitError("a tensor is overwritten inside, which replays would not do", {
      hint: "use assign()",
    });
  }
  commit(tensor.device);
  const { storage, size, shape } = tensor;
  if (storage === undefined || (!range && data.length !== size)) {
    throw new ShapeError(`${data.length} elements given for shape ${formatShape(shape)}`, {
      op: "overwrite",
    });
  }
  tensor.device.write(storage.buffer, data, range);
  storage.noteChange();
}

/** The values in row-major order, in the dtype's typed array. */
export async function readTensor(tensor: Tensor): Promise<TypedArray> {
  const values = await readPart(tensor);
  if (tensor.dtype !== "float32" || values instanceof Float32Array) return values;
  const result = newArray("float32", values.length);
  result.set(values);
  return result;
}

/**
 * Reads the values with the device's precision: the reference device has float64 where others have float32.
 *
 * @example
 * await readExact(tensor([1, 2])); // [1, 2]
 */
export async function readExact(tensor: Tensor): Promise<TypedArray> {
  return readPart(tensor);
}

/** The same of the elements of `range`. */
export async function readPart(tensor: Tensor, range?: BufferRange): Promise<TypedArray> {
  const { device } = requireTensor("readExact", tensor);
  const session = sessionOf(device);
  if (session.capture !== undefined) {
    throw new JitError("a function given to jit() cannot read values", {
      op: "data",
      hint: "return the tensor and read it outside",
    });
  }
  if (tensor.pending !== undefined) commit(device);
  try {
    realize([tensor]);
  } catch (error) {
    await afterCollection(error, () => realize([tensor]));
  }
  if (tensor.storage === undefined) throw new StaleTensorError("the tensor was disposed", { op: "data" });
  if (session.checks !== undefined) await session.checks();
  const values = await device.read(tensor.storage.buffer, range);
  if (isTurnDue()) await takeTurn();
  return values;
}
