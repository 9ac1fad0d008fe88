/** The CPU device: AssemblyScript kernels in WebAssembly SIMD, executed on the calling thread. */
import { type DType, itemSize, type TypedArray } from "../../core/dtype.js";
import { ArgumentError, DeviceError, OutOfMemoryError, type WattgradError } from "../../core/errors.js";
import { noteCapacity } from "../../core/event_loop.js";
import { inspectable } from "../../core/inspect.js";
import {
  type CallFailure,
  indexError,
  type Missed,
  type Readable,
  reportOf,
  requireReadable,
  runAround,
} from "../../kernels/failure.js";
import type { GatherCall } from "../../kernels/kernel.js";
import { describeDevice } from "../describe.js";
import type {
  BufferRange,
  Device,
  DeviceBuffer,
  DeviceInfo,
  LossReason,
  MemoryReport,
  Program,
} from "../device.js";
import { rangeOf } from "../range.js";
import { type BinaryName, type LoadedKernels, loadKernels } from "./binaries.js";
import { type SharedSpaces, WasmExecutable } from "./executable.js";
import { Allocator } from "./memory.js";
import { type HasPanels, PanelCache, type Panels, patience } from "./panels.js";
import { ProgramEncoder } from "./program.js";

/** Options of the wasm device. */
export interface WasmOptions {
  /** Requires one of the binaries; by default relaxed SIMD if it works here. */
  readonly binary?: BinaryName;
  /** Limit of the WebAssembly memory; 4 GiB by default. */
  readonly maximumBytes?: number;
  /**
   * Limit, within that, of packed copies of float32 weights that do not change. They make products faster and are freed first when
   * memory runs short. An eighth of `maximumBytes` by default; 0 disables them.
   */
  readonly panelBytes?: number;
  /** Bytes of the binary named by `binary`, or of simd, for environments that cannot fetch files. */
  readonly bytes?: BufferSource;
}

const fourGiB = 65536 * 65536;
/** Default share of the memory limit for cached panels: 512 MiB of 4 GiB, more than the weights of BERT-base (340 MB). */
const panelShare = 1 / 8;

export class WasmBuffer implements DeviceBuffer, Readable, HasPanels {
  panels: Map<string, Panels> | undefined;
  freed = false;
  failure: WattgradError | undefined;
  missed: Missed | undefined;

  constructor(
    readonly device: WasmDevice,
    readonly dtype: DType,
    readonly size: number,
    readonly address: number,
  ) {}
}

/**
 * Opens the wasm device.
 * @throws DeviceError if the engine lacks WebAssembly SIMD or a binary cannot be loaded.
 */
export async function openWasm(options: WasmOptions = {}): Promise<WasmDevice> {
  const loaded = await loadKernels(options.binary, options.bytes);
  return new WasmDevice(loaded, options.maximumBytes ?? fourGiB, options.panelBytes);
}

export class WasmDevice implements Device {
  readonly name = "wasm";
  readonly info: DeviceInfo;
  /** Never resolves: memory of the same process cannot be lost. */
  readonly lost = new Promise<LossReason>(() => {});

  readonly #allocator: Allocator;
  readonly #panels: PanelCache;
  readonly #failure: number;
  #ints: Int32Array;
  #floats: Float32Array;
  closed = false;
  readonly #loaded: LoadedKernels;
  #liveBuffers = 0;
  #liveBytes = 0;
  #allocations = 0;
  readonly #executables = new Set<WasmExecutable>();
  /** Sizes of the memory shared by all executables. */
  readonly #bytes = { arena: 0, scratch: 0 };
  readonly #forgetCapacity: () => void;
  readonly #spaces: SharedSpaces = { arena: 0, scratch: 0, generation: 0 };

  constructor(loaded: LoadedKernels, maximumBytes: number, panelBytes = maximumBytes * panelShare) {
    this.#loaded = loaded;
    const { name, memory, kernels, reason } = loaded;
    const level = name === "relaxed" ? "SIMD (relaxed)" : "SIMD";
    this.info = {
      description: `WebAssembly ${level}, 1 thread`,
      convLayout: "channels-last",
      details: {
        simd: name,
        threads: 1,
        maximumBytes,
        panelBytes,
        ...(reason ? { whyNotRelaxed: reason } : {}),
      },
    };
    this.#forgetCapacity = noteCapacity(maximumBytes);
    this.#allocator = new Allocator(memory, kernels.start() >>> 0, maximumBytes);
    this.#panels = new PanelCache(panelBytes, {
      take: (bytes) => this.#takeIfFree(bytes),
      release: (address) => this.#allocator.release(address),
    });
    this.#failure = (kernels.failureAddress() >>> 0) >>> 2;
    this.#ints = new Int32Array(memory.buffer);
    this.#floats = new Float32Array(memory.buffer);
  }

  allocate(dtype: DType, size: number): WasmBuffer {
    this.#check();
    const address = this.#take(size * itemSize[dtype]);
    this.#allocations++;
    this.#liveBuffers++;
    this.#liveBytes += size * itemSize[dtype];
    return new WasmBuffer(this, dtype, size, address);
  }

  free(buffer: DeviceBuffer): void {
    if (this.closed) return;
    const own = buffer as WasmBuffer;
    if (own.freed || own.device !== this) return;
    own.freed = true;
    this.#liveBuffers--;
    this.#liveBytes -= own.size * itemSize[own.dtype];
    this.#panels.drop(own);
    this.#allocator.release(own.address);
  }

  write(buffer: DeviceBuffer, data: TypedArray, range?: BufferRange): void {
    const own = this.#own(buffer);
    const [begin] = rangeOf("write", own.size, range, data.length);
    this.#view(own).set(data, begin);
    this.#panels.drop(own);
    if (data.length < own.size) return;
    own.failure = undefined;
    own.missed = undefined;
  }

  async read(buffer: DeviceBuffer, range?: BufferRange): Promise<TypedArray> {
    const own = this.#own(buffer);
    const part = rangeOf("read", own.size, range);
    requireReadable(own);
    return this.#view(own).slice(...part);
  }

  peek(buffer: DeviceBuffer): TypedArray | undefined {
    const { freed, failure } = buffer as WasmBuffer;
    return this.closed || freed || failure ? undefined : this.#view(this.#own(buffer));
  }

  toString(): string {
    return describeDevice(this);
  }

  static {
    inspectable(WasmDevice.prototype);
  }

  prepare(program: Program): WasmExecutable {
    this.#check();
    const encoder = new ProgramEncoder(program);
    this.#reserve(program.arenaBytes, encoder.scratchBytes);
    const address = this.#take(WasmExecutable.bytesFor(program, encoder));
    const executable = new WasmExecutable(program, encoder, address, this.#ints);
    this.#executables.add(executable);
    return executable;
  }

  release(executable: WasmExecutable): void {
    if (this.closed || executable.released) return;
    executable.released = true;
    this.#executables.delete(executable);
    this.#allocator.release(executable.address);
    this.#shrink("arena");
    this.#shrink("scratch");
  }

  run(
    executable: WasmExecutable,
    leaves: readonly DeviceBuffer[],
    scalars: readonly number[],
  ): WattgradError | undefined {
    this.#check();
    if (executable.released) throw new DeviceError("the executable was released", { device: this.name });
    const { leafCount, slots } = executable.program;
    let isReadable = true;
    for (let i = 0; i < leafCount; i++) {
      const leaf = this.#own(leaves[i]);
      if (leaf.size !== slots[i].size || leaf.dtype !== slots[i].dtype) {
        throw new ArgumentError(
          `leaf ${i} is ${leaf.size} × ${leaf.dtype}, not ${slots[i].size} × ${slots[i].dtype}`,
          { op: "run", device: this.name },
        );
      }
      if (leaf.failure !== undefined) isReadable = false;
    }
    const own = leaves as readonly WasmBuffer[];
    const failure = isReadable ? this.#execute(executable, own, scalars) : undefined;
    if (isReadable && failure === undefined) return undefined;
    const { program } = executable;
    return runAround(program, own, failure, (calls) => {
      const part = this.prepare({ ...program, calls, alike: undefined });
      try {
        return this.#execute(part, own, scalars);
      } finally {
        this.release(part);
      }
    });
  }

  memory(): MemoryReport {
    return {
      liveBuffers: this.#liveBuffers,
      liveBytes: this.#liveBytes,
      panelBytes: this.#panels.bytes,
      peakBytes: this.#allocator.peakBytes,
      reservedBytes: this.closed ? 0 : this.#loaded.memory.buffer.byteLength,
      allocations: this.#allocations,
      executables: this.#executables.size,
    };
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#forgetCapacity();
    this.#ints = new Int32Array(0);
    this.#floats = new Float32Array(0);
  }

  #check(): void {
    if (this.closed) throw new DeviceError("the device is closed", { device: this.name });
  }

  #own(buffer: DeviceBuffer): WasmBuffer {
    this.#check();
    const own = buffer as WasmBuffer;
    if (own.device !== this) throw new DeviceError("the buffer is on another device", { device: this.name });
    if (own.freed) throw new DeviceError("the buffer was freed", { device: this.name });
    return own;
  }

  #view({ dtype, size, address }: WasmBuffer): TypedArray {
    const { buffer } = this.#loaded.memory;
    switch (dtype) {
      case "float32":
        return new Float32Array(buffer, address, size);
      case "int32":
        return new Int32Array(buffer, address, size);
      case "float16":
      case "bfloat16":
        return new Uint16Array(buffer, address, size);
      case "int8":
        return new Int8Array(buffer, address, size);
      default:
        return new Uint8Array(buffer, address, size);
    }
  }

  /** Allocates; drops cached panels if memory is short. May grow the memory, which detaches all views. */
  #take(bytes: number): number {
    const address = this.#takeIfFree(bytes);
    if (address !== undefined) return address;
    this.#panels.dropAll(-patience);
    return this.#takeIfFree(bytes) ?? this.#allocator.allocate(bytes);
  }

  #takeIfFree(bytes: number): number | undefined {
    try {
      return this.#allocator.allocate(bytes);
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error;
      return undefined;
    } finally {
      if (this.#ints.buffer !== this.#loaded.memory.buffer) {
        this.#ints = new Int32Array(this.#loaded.memory.buffer);
        this.#floats = new Float32Array(this.#loaded.memory.buffer);
      }
    }
  }

  /** Grows the arena and scratch memory, which all executables share, to at least these sizes. */
  #reserve(arenaBytes: number, scratchBytes: number): void {
    if (arenaBytes > this.#bytes.arena) {
      this.#spaces.arena = this.#replace(this.#spaces.arena, this.#bytes.arena, arenaBytes);
      this.#bytes.arena = arenaBytes;
      this.#spaces.generation++;
    }
    if (scratchBytes > this.#bytes.scratch) {
      this.#spaces.scratch = this.#replace(this.#spaces.scratch, this.#bytes.scratch, scratchBytes);
      this.#bytes.scratch = scratchBytes;
      this.#spaces.generation++;
    }
  }

  /** Reallocates arena or scratch memory if every executable needs less than half of it. */
  #shrink(space: "arena" | "scratch"): void {
    let needed = 0;
    for (const executable of this.#executables) needed = Math.max(needed, executable[`${space}Bytes`]);
    if (needed > this.#bytes[space] / 2 || this.#bytes[space] === 0) return;
    this.#allocator.release(this.#spaces[space]);
    this.#spaces[space] = needed > 0 ? this.#take(needed) : 0;
    this.#bytes[space] = needed;
    this.#spaces.generation++;
  }

  /** Frees the old memory before allocating the new one, which may overlap it: contents are not preserved. */
  #replace(address: number, bytes: number, wanted: number): number {
    if (bytes > 0) this.#allocator.release(address);
    try {
      return this.#take(wanted);
    } catch (error) {
      if (bytes > 0 && error instanceof OutOfMemoryError) {
        const again = this.#take(bytes);
        if (address === this.#spaces.arena) this.#spaces.arena = again;
        else this.#spaces.scratch = again;
        this.#spaces.generation++;
      }
      throw error;
    }
  }

  /** Writes addresses of leaves and values of scalars, then runs the commands until one fails. */
  #execute(
    executable: WasmExecutable,
    leaves: readonly WasmBuffer[],
    scalars: readonly number[],
  ): CallFailure | undefined {
    const { isFloatScalar, scalarBase, address, program } = executable;
    const panels = this.#panels.prepare(executable.panelWords, leaves);
    const [ints, floats, failure] = [this.#ints, this.#floats, this.#failure];
    for (const [word, at, filled] of panels) ints.set([at, filled], (address >>> 2) + word);
    for (let i = 0; i < program.leafCount; i++) executable.placeLeaf(i, leaves[i].address, ints);
    executable.placeShared(this.#spaces, ints);
    for (let i = 0; i < isFloatScalar.length; i++) {
      if (isFloatScalar[i]) floats[scalarBase + i] = scalars[i];
      else ints[scalarBase + i] = scalars[i];
    }
    // For a stack overflow at entry, in which case the kernels do not write this word.
    ints[failure + 3] = address;
    let trap: unknown;
    try {
      if (this.#loaded.kernels.execute(address) === 0) return undefined;
    } catch (error) {
      trap = error;
    } finally {
      for (const slot of executable.written) this.#panels.drop(leaves[slot]);
    }
    // The failed run may not have filled all panels.
    this.#panels.dropAll(0);
    // Encodes again to find the failed call, because failures are rare and the start words need not be stored.
    const word = ((ints[failure + 3] >>> 0) - address) >>> 2;
    const at = new ProgramEncoder(program).starts.findLastIndex((start) => start <= word);
    const call = program.calls[at];
    if (trap === undefined)
      return {
        at,
        error: indexError(reportOf(call as GatherCall), ints[failure + 1], ints[failure + 2], this.name),
      };
    const error = new DeviceError(`the kernel stopped: ${trap}`, {
      op: call.kernel,
      device: this.name,
      hint: "its Program's results are lost; please report it",
      cause: trap,
    });
    return { at, error, isTrap: true };
  }
}
