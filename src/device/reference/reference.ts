/**
 * The reference device: every kernel in plain TypeScript; float32 tensors are stored and computed in float64. It is the oracle of the
 * tests, the device for gradient checks, and the fallback where no other device works.
 */
import type { DType, TypedArray } from "../../core/dtype.js";
import { DeviceError, type IndexError, type WattgradError } from "../../core/errors.js";
import { inspectable } from "../../core/inspect.js";
import {
  type CallFailure,
  type Missed,
  type Readable,
  requireReadable,
  runAround,
} from "../../kernels/failure.js";
import { splitEpilogue } from "../../kernels/operands.js";
import type { Program } from "../../kernels/program.js";
import { entryOf, type KernelCall, type KernelTable } from "../../kernels/table.js";
import { describeDevice } from "../describe.js";
import type {
  BufferRange,
  Device,
  DeviceBuffer,
  DeviceInfo,
  Executable,
  LossReason,
  MemoryReport,
} from "../device.js";
import { rangeOf } from "../range.js";
import { attention } from "./attention.js";
import { map, reduce } from "./elementwise.js";
import type { Memory } from "./expression.js";
import { gatherScatter } from "./indexing.js";
import { pool, poolGrad } from "./pool.js";
import { conv, matmul } from "./products.js";
import { qconv, qmatmul } from "./quantized.js";
import { write } from "./write.js";

class ReferenceBuffer implements DeviceBuffer, Readable {
  readonly dtype: DType;
  readonly size: number;
  failure: WattgradError | undefined;
  missed: Missed | undefined;
  data: TypedArray | undefined;

  constructor(dtype: DType, size: number) {
    this.dtype = dtype;
    this.size = size;
    this.data = arrayFor(dtype, size);
  }
}

interface ReferenceExecutable extends Executable {
  /** One array per temporary; indexed by slot − leafCount. */
  readonly temporaries: readonly TypedArray[];
}

function arrayFor(dtype: DType, size: number): TypedArray {
  switch (dtype) {
    case "float32":
      return new Float64Array(size);
    case "int32":
      return new Int32Array(size);
    case "float16":
    case "bfloat16":
      return new Uint16Array(size);
    case "int8":
      return new Int8Array(size);
    default:
      return new Uint8Array(size);
  }
}

class ReferenceDevice implements Device {
  readonly name = "reference";
  readonly info: DeviceInfo = {
    description: "plain TypeScript in float64, for checking",
    convLayout: "channels-first",
    details: { threads: 1, precision: "float64" },
  };
  readonly lost = new Promise<LossReason>(() => {});
  readonly #live = new Set<ReferenceBuffer>();
  readonly #executables = new Set<Executable>();
  #liveBytes = 0;
  #temporaryBytes = 0;
  #peakBytes = 0;
  #allocations = 0;
  #closed = false;

  allocate(dtype: DType, size: number): DeviceBuffer {
    this.#checkOpen();
    const buffer = new ReferenceBuffer(dtype, size);
    this.#live.add(buffer);
    this.#allocations++;
    this.#liveBytes += buffer.data!.byteLength;
    this.#notePeak();
    return buffer;
  }

  free(buffer: DeviceBuffer): void {
    const own = buffer as ReferenceBuffer;
    if (!this.#live.delete(own)) return;
    this.#liveBytes -= own.data!.byteLength;
    own.data = undefined;
  }

  write(buffer: DeviceBuffer, data: TypedArray, range?: BufferRange): void {
    this.#checkOpen();
    const [begin] = rangeOf("write", buffer.size, range, data.length);
    this.#dataOf(buffer).set(data, begin);
    if (data.length < buffer.size) return;
    const own = buffer as ReferenceBuffer;
    own.failure = undefined;
    own.missed = undefined;
  }

  async read(buffer: DeviceBuffer, range?: BufferRange): Promise<TypedArray> {
    this.#checkOpen();
    const data = this.#dataOf(buffer);
    const part = rangeOf("read", buffer.size, range);
    requireReadable(buffer as ReferenceBuffer);
    return data.slice(...part);
  }

  peek(buffer: DeviceBuffer): TypedArray | undefined {
    const { data, failure } = buffer as ReferenceBuffer;
    return failure ? undefined : data;
  }

  toString(): string {
    return describeDevice(this);
  }

  static {
    inspectable(ReferenceDevice.prototype);
  }

  prepare(program: Program): Executable {
    this.#checkOpen();
    const temporaries = program.slots
      .slice(program.leafCount)
      .map(({ dtype, size }) => arrayFor(dtype, size));
    const executable: ReferenceExecutable = { program, temporaries, bytes: bytesOf(temporaries) };
    this.#executables.add(executable);
    this.#temporaryBytes += executable.bytes;
    this.#notePeak();
    return executable;
  }

  release(executable: Executable): void {
    if (!this.#executables.delete(executable)) return;
    this.#temporaryBytes -= executable.bytes;
  }

  run(
    executable: Executable,
    leaves: readonly DeviceBuffer[],
    scalars: readonly number[],
  ): WattgradError | undefined {
    this.#checkOpen();
    const { program, temporaries } = executable as ReferenceExecutable;
    const buffers = leaves as readonly ReferenceBuffer[];
    const arrays = buffers.map((buffer) => this.#dataOf(buffer));
    const memory: Memory = (slot) =>
      slot < program.leafCount ? arrays[slot] : temporaries[slot - program.leafCount];
    const run = (calls: readonly KernelCall[]): CallFailure | undefined => {
      for (let at = 0; at < calls.length; at++) {
        const error = runCall(calls[at], memory, scalars);
        if (error !== undefined) return { at, error };
      }
      return undefined;
    };
    const isReadable = buffers.every(({ failure }) => failure === undefined);
    const failure = isReadable ? run(program.calls) : undefined;
    if (isReadable && failure === undefined) return undefined;
    return runAround(program, buffers, failure, run);
  }

  memory(): MemoryReport {
    return {
      liveBuffers: this.#live.size,
      liveBytes: this.#liveBytes,
      peakBytes: this.#peakBytes,
      reservedBytes: this.#liveBytes + this.#temporaryBytes,
      allocations: this.#allocations,
      executables: this.#executables.size,
    };
  }

  get closed(): boolean {
    return this.#closed;
  }

  close(): void {
    this.#closed = true;
    for (const buffer of this.#live) buffer.data = undefined;
    this.#live.clear();
    this.#executables.clear();
    this.#liveBytes = 0;
    this.#temporaryBytes = 0;
  }

  #dataOf(buffer: DeviceBuffer): TypedArray {
    const { data } = buffer as ReferenceBuffer;
    if (data === undefined) throw new DeviceError("the buffer was freed", { device: this.name });
    return data;
  }

  #checkOpen(): void {
    if (this.#closed) throw new DeviceError("the device is closed", { device: this.name });
  }

  #notePeak(): void {
    this.#peakBytes = Math.max(this.#peakBytes, this.#liveBytes + this.#temporaryBytes);
  }
}

function bytesOf(arrays: readonly TypedArray[]): number {
  return arrays.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

/** Runs each kernel on arrays; returns the error for the first index outside its axis. */
// biome-ignore lint/suspicious/noConfusingVoidType: only kernels that take indices can fail.
const kernels: KernelTable<[memory: Memory, scalars: readonly number[]], IndexError | undefined | void> = {
  map,
  reduce,
  matmul,
  attention,
  conv,
  convGradInput: conv,
  convGradWeight: conv,
  qmatmul,
  qconv,
  pool,
  poolGrad,
  gather: gatherScatter,
  scatterAdd: gatherScatter,
  write,
};

/** Slot of a kernel's values if its epilogue changes their dtype. */
const valueSlot = -1;

/** Runs one call of a Program on arrays. */
export function runCall(
  call: KernelCall,
  memory: Memory,
  scalars: readonly number[],
): IndexError | undefined {
  let values: TypedArray | undefined;
  const [kernel, rest] = splitEpilogue(call, (dtype, { slot }) => {
    values = arrayFor(dtype, memory(slot).length);
    return valueSlot;
  });
  const places: Memory = (slot) => (slot === valueSlot ? values! : memory(slot));
  const failure = entryOf(kernels, kernel)(kernel, places, scalars) ?? undefined;
  if (rest !== undefined) map(rest, places, scalars);
  return failure;
}

/** Opens a reference device with its own memory. */
export function openReference(): Device {
  return new ReferenceDevice();
}
