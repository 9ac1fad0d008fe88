/// <reference lib="dom" preserve="true" />
/// <reference lib="esnext.disposable" preserve="true" />
/** The contract between the runtime and a device. Everything a new backend has to provide is in this file. */
import type { DType, TypedArray } from "../core/dtype.js";
import type { WattgradError } from "../core/errors.js";
import type { Program } from "../kernels/kernel.js";
import type { DeviceRecovery } from "./recovery.js";

export type { Program } from "../kernels/kernel.js";

/** A handle to memory on a device; each device has its own subclass. Uninitialised after `allocate`. */
export interface DeviceBuffer {
  readonly dtype: DType;
  /** Elements. */
  readonly size: number;
  /** How often a restore has replaced its values by those of a snapshot. Default 0. */
  readonly rewinds?: number;
}

/** A contiguous part of a buffer, in elements. */
export interface BufferRange {
  /** The first element. */
  readonly offset: number;
  /** Number of elements; by default the length of the written data, or all elements from `offset` on. */
  readonly length?: number;
}

/** A Program prepared for one device: an encoded command list, or compiled shaders. */
export interface Executable {
  readonly program: Program;
  /** Approximate memory of the executable on the device and the host, without the Program; caches are bounded by it. */
  readonly bytes: number;
}

/** Properties of a device. */
export interface DeviceInfo {
  /** One line for people, e.g. `WebAssembly SIMD (relaxed), 1 thread`. */
  readonly description: string;
  /** The memory layout that this device prefers for the activations of convolutions. */
  readonly convLayout: "channels-first" | "channels-last";
  /** Bytes of a float32 element in device memory. Default 4; 2 for half floats. */
  readonly float32Bytes?: number;
  /** Machine-readable properties: SIMD level, threads, renderer, limits. */
  readonly details: Readonly<Record<string, string | number | boolean>>;
}

/** Memory use of a device. */
export interface MemoryReport {
  /** Leaf buffers that are allocated and not freed. */
  readonly liveBuffers: number;
  readonly liveBytes: number;
  /** Packed copies of weights, freed before memory runs out; undefined for devices without them. */
  readonly panelBytes?: number;
  /** Maximum of the bytes in use at once: leaves, arena and workspace. */
  readonly peakBytes: number;
  /** Memory obtained from the system, including free blocks kept for reuse. */
  readonly reservedBytes: number;
  /** Number of calls of `allocate` so far; constant in a steady state. */
  readonly allocations: number;
  /** Executables prepared and not released. */
  readonly executables: number;
}

/** Called with the number of compiled shaders and of all shaders; not called if none has to be compiled. */
export type WarmupProgress = (done: number, all: number) => void;

/** Why a device was lost. */
export interface LossReason {
  readonly message: string;
}

/**
 * The contract of a device: buffers, Programs, memory, loss and recovery. Users pass devices around; only the runtime calls `prepare`
 * and `run`.
 */
export interface Device {
  readonly name: string;
  readonly info: DeviceInfo;

  /**
   * A leaf buffer (inputs, parameters, results); temporaries belong to Programs.
   * @throws OutOfMemoryError; everything allocated before stays usable.
   */
  allocate(dtype: DType, size: number): DeviceBuffer;
  /** Returns the memory for reuse once everything enqueued before is done. Idempotent. */
  free(buffer: DeviceBuffer): void;
  /**
   * Stores a float32 buffer as float32 from now on, on devices that otherwise store half floats: for values that are updated in small
   * steps, such as parameters. `run` does this for leaves that a Program updates from their own values. Undefined for devices that always
   * store float32.
   * @throws DeviceError if the device cannot store float32.
   */
  useFloat32Storage?(buffer: DeviceBuffer): void;
  /**
   * Enqueues a copy from host memory into the buffer, or into the elements of `range`; the caller may reuse `data` at once. Writing a
   * whole buffer clears the error of a failed run (see `run`).
   * @throws ArgumentError for a range outside the buffer, or if the lengths differ.
   */
  write(buffer: DeviceBuffer, data: TypedArray, range?: BufferRange): void;
  /**
   * The buffer's contents, or the elements of `range`, after everything enqueued before, as a new array. The reference device returns
   * Float64Array for float32 buffers.
   * @throws ArgumentError for a range outside the buffer; the error of the run that should have computed the values (see `run`).
   */
  read(buffer: DeviceBuffer, range?: BufferRange): Promise<TypedArray>;

  /**
   * The buffer's memory itself, for printing values; undefined if enqueued work is not finished. Valid only until the next call of the
   * device.
   */
  peek?(buffer: DeviceBuffer): TypedArray | undefined;

  /** Encodes or compiles a Program, without waiting: shader compilation is awaited by `warmup` or the first run. */
  prepare(program: Program): Executable;
  /**
   * Resolves when everything that `run` needs of an executable is compiled, without blocking the thread; otherwise the first run blocks.
   * Undefined for devices without asynchronous compilation.
   */
  warmup?(executable: Executable, progress?: WarmupProgress): Promise<void>;
  release(executable: Executable): void;
  /**
   * Enqueues one execution and returns. `leaves[i]` is the buffer of slot i (i < program.leafCount), `scalars[i]` the value of runtime
   * scalar i (int32 scalars are taken modulo 2^32).
   *
   * A run fails if an index is outside its axis (IndexError), a kernel traps (DeviceError), or it reads a buffer that a failed run did not
   * write. Then
   * - every `read` of a result that depends on the failure throws the error, until the buffer is written; after a trap this holds for
   *   all results. Other results are computed as usual;
   * - no input is updated: each keeps its bits (after a trap during the updates, those updated before it have new values). If no result
   *   reports the failure, the first `read` of an input that was to be updated throws it, once.
   *
   * @returns the error, on devices that detect it at once; others return undefined even if the run fails later.
   */
  run(
    executable: Executable,
    leaves: readonly DeviceBuffer[],
    scalars: readonly number[],
  ): WattgradError | undefined;

  memory(): MemoryReport;
  /** Resolves at the next loss of the device (a WebGL context, a crashed worker); never rejects. */
  readonly lost: Promise<LossReason>;
  /** Recovery after a loss; undefined for devices that cannot be lost or not be restored. */
  readonly recovery?: DeviceRecovery;
  /** Whether `close` was called; undefined for devices that cannot say. */
  readonly closed?: boolean;
  /** Frees everything. Later calls throw DeviceError. */
  close(): void;
}
