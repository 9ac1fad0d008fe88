/**
 * The dry device: everything is compiled and nothing computed. It has no memory, so that the cost of models far larger
 * than this machine can be counted from their own graph. What is read from it is 0.
 */
import { type DType, itemSize, newArray, type TypedArray } from "../../core/dtype.js";
import { DeviceError } from "../../core/errors.js";
import { inspectable } from "../../core/inspect.js";
import type { Program } from "../../kernels/kernel.js";
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

class DryDevice implements Device {
  readonly name = "dry";
  readonly info: DeviceInfo = {
    description: "compiles and counts, computes nothing",
    convLayout: "channels-first",
    details: {},
  };
  readonly lost = new Promise<LossReason>(() => {});
  readonly #live = new Set<DeviceBuffer>();
  readonly #executables = new Set<Executable>();
  #liveBytes = 0;
  #peakBytes = 0;
  #allocations = 0;
  #closed = false;

  allocate(dtype: DType, size: number): DeviceBuffer {
    this.#checkOpen();
    const buffer: DeviceBuffer = { dtype, size };
    this.#live.add(buffer);
    this.#allocations++;
    this.#liveBytes += size * itemSize[dtype];
    this.#peakBytes = Math.max(this.#peakBytes, this.#liveBytes);
    return buffer;
  }

  free(buffer: DeviceBuffer): void {
    if (this.#live.delete(buffer)) this.#liveBytes -= buffer.size * itemSize[buffer.dtype];
  }

  write({ size }: DeviceBuffer, data: TypedArray, range?: BufferRange): void {
    this.#checkOpen();
    rangeOf("write", size, range, data.length);
  }

  async read({ dtype, size }: DeviceBuffer, range?: BufferRange): Promise<TypedArray> {
    this.#checkOpen();
    const [begin, end] = rangeOf("read", size, range);
    return newArray(dtype, end - begin);
  }

  get closed(): boolean {
    return this.#closed;
  }

  toString(): string {
    return describeDevice(this);
  }

  static {
    inspectable(DryDevice.prototype);
  }

  prepare(program: Program): Executable {
    this.#checkOpen();
    const executable = { program, bytes: 0 };
    this.#executables.add(executable);
    return executable;
  }

  release(executable: Executable): void {
    this.#executables.delete(executable);
  }

  run({ program }: Executable): undefined {
    this.#checkOpen();
    this.#peakBytes = Math.max(this.#peakBytes, this.#liveBytes + program.arenaBytes);
  }

  /** What another device would need for the same work, without its own working space. */
  memory(): MemoryReport {
    return {
      liveBuffers: this.#live.size,
      liveBytes: this.#liveBytes,
      peakBytes: this.#peakBytes,
      reservedBytes: 0,
      allocations: this.#allocations,
      executables: this.#executables.size,
    };
  }

  close(): void {
    this.#closed = true;
    this.#live.clear();
    this.#executables.clear();
    this.#liveBytes = 0;
  }

  #checkOpen(): void {
    if (this.#closed) throw new DeviceError("the device is closed", { device: this.name });
  }
}

/**
 * Opens a dry device, which compiles everything and computes nothing: for the cost and memory of work that is too large to run. Reads
 * return 0.
 *
 * @example
 * const device = openDry();
 * const model = new CharGpt({ device, width: 768, numLayers: 12, numHeads: 12, context: 1024, vocabulary: 50257 });
 * const { flops } = await cost(device, () => model.forward(zeros([1, 1024], { device, dtype: "int32" })));
 * flops / 1e9; // 293.0
 */
export function openDry(): Device {
  return new DryDevice();
}
