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
  /** How often a restore replaced its values by older ones. Default 0. */
  readonly rewinds?: number;
}

/** A contiguous part of a buffer, in elements. */
export interface BufferRange {
  /** The first element. */
  readonly offset: number;
  /** Elements; by default as many as are written, or all behind `offset`. */
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
  /** Facts for programs: simd level, threads, renderer, limits. */
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
   * Keeps all of a float32 buffer from now on, on devices that may store it with fewer bits: what is updated by small steps.
   * `run` does so with leaves that a Program updates from their own values. Undefined for devices that always do.
   * @throws DeviceError if the device cannot.
   */
  keepInFull?(buffer: DeviceBuffer): void;
  /**
   * Enqueues a copy from host memory into the buffer, or into the elements of `range`; `data` may be reused by the caller at
   * once. A buffer that a failed run should have written (see `run`) has values again when all of it is written at once.
   * @throws ArgumentError for a range outside the buffer, or if the lengths differ.
   */
  write(buffer: DeviceBuffer, data: TypedArray, range?: BufferRange): void;
  /**
   * The buffer's contents, or the elements of `range`, after everything enqueued before, as a fresh array. The reference
   * device returns Float64Array for float32 buffers.
   * @throws ArgumentError for a range outside the buffer; the error of the run that should have computed the values (see `run`).
   */
  read(buffer: DeviceBuffer, range?: BufferRange): Promise<TypedArray>;

  /** The buffer's memory itself, to be read at once and not kept, where all that was enqueued is done; for showing values. */
  peek?(buffer: DeviceBuffer): TypedArray | undefined;

  /** Encodes or compiles. A device that has to wait (shader compilation) returns a promise from `warmup`, not here. */
  prepare(program: Program): Executable;
  /**
   * Waits, without blocking the thread, until all that `run` needs of an executable is compiled; without it the first
   * run waits. Undefined for devices that have nothing to wait for.
   */
  warmup?(executable: Executable, progress?: WarmupProgress): Promise<void>;
  release(executable: Executable): void;
  /**
   * Enqueues one execution and returns. `leaves[i]` stands for slot i (i < program.leafCount), `scalars[i]` for
   * runtime scalar i (int32 scalars are taken modulo 2^32).
   *
   * A run fails if an index is outside its axis (IndexError), a kernel traps (DeviceError), or it reads a buffer that a failed run
   * should have written. Then
   * - `read` of a result that was computed from that throws the error, every time, until the buffer is written; after a trap
   *   that holds for all results. Other results are as ever;
   * - no input is updated, each keeps its bits (after a trap in the midst of updates those behind it). Where no result tells of
   *   the failure, the inputs that should have got a value throw it at their next `read`, once.
   *
   * @returns the error, on devices that know at once; others return undefined whether or not the run will fail.
   */
  run(
    executable: Executable,
    leaves: readonly DeviceBuffer[],
    scalars: readonly number[],
  ): WattgradError | undefined;

  memory(): MemoryReport;
  /** Resolves if the device is lost (a WebGL context, a crashed worker), the first time or the next; never rejects. */
  readonly lost: Promise<LossReason>;
  /** How it comes back from that; undefined for devices that are not lost or stay so. */
  readonly recovery?: DeviceRecovery;
  /** Whether `close` was called; undefined for devices that cannot say. */
  readonly closed?: boolean;
  /** Frees everything. Later calls throw DeviceError. */
  close(): void;
}
