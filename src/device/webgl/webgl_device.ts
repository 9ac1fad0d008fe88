/** The GPU device: buffers are textures (see gl/storage.ts), a run is a list of draws. */

import type { DType, TypedArray } from "../../core/dtype.js";
import { ArgumentError, DeviceError, DeviceLostError, StaleTensorError } from "../../core/errors.js";
import { noteCapacity } from "../../core/event_loop.js";
import { inspectable } from "../../core/inspect.js";
import { describeDevice } from "../describe.js";
import type {
  BufferRange,
  Device,
  DeviceBuffer,
  DeviceInfo,
  LossReason,
  MemoryReport,
  Program,
  WarmupProgress,
} from "../device.js";
import { rangeOf } from "../range.js";
import { configurationOf } from "./configuration.js";
import { WebglExecutable } from "./executable.js";
import { WebglBuffer } from "./gl/buffer.js";
import { type Capabilities, cleanState } from "./gl/context.js";
import { errorOf, type RunFlag, takeFlags } from "./gl/flag.js";
import { loseContext, probeLive } from "./gl/live.js";
import { ContextLoss, contextLost } from "./gl/loss.js";
import type { Program as ShaderProgram } from "./gl/programs.js";
import { fromRaw } from "./gl/readback.js";
import { WebglRecovery } from "./gl/recovery.js";
import { asTexels, type FloatStorage, formatOf, lanes, type TextureLayout } from "./gl/storage.js";
import { upload, uploadRange } from "./gl/upload.js";
import type { WebglOptions } from "./options.js";
import { preparePasses } from "./prepare.js";
import { type ResourceLimits, Resources } from "./resources.js";
import type { ShaderTarget } from "./shader/shader.js";

export class WebglDevice implements Device {
  readonly name = "webgl";
  readonly info: DeviceInfo;
  readonly recovery: WebglRecovery;

  private readonly layout: TextureLayout;
  private readonly fullFloats: FloatStorage;
  private readonly target: ShaderTarget;
  private readonly limits: ResourceLimits;
  private readonly ownsContext: boolean;
  private readonly buffers = new Set<WebglBuffer>();
  private readonly loss: ContextLoss;
  private readonly forgetCapacity: () => void;
  private resources: Resources;
  private liveBytes = 0;
  private allocations = 0;
  private executables = 0;
  closed = false;

  constructor(
    private readonly gl: WebGL2RenderingContext,
    private readonly capabilities: Capabilities,
    private readonly floats: FloatStorage,
    options: WebglOptions,
  ) {
    this.ownsContext = options.gl === undefined;
    const { layout, limits, fullFloats, target, info } = configurationOf(capabilities, floats, options);
    this.layout = layout;
    this.limits = limits;
    this.fullFloats = fullFloats;
    this.target = target;
    this.info = info;
    this.forgetCapacity = noteCapacity(limits.maximumBytes);
    this.resources = new Resources(gl, layout, limits, capabilities.parallelCompile);
    const loss = new ContextLoss(gl);
    this.loss = loss;
    const device = this;
    this.recovery = new WebglRecovery(
      {
        gl,
        loss,
        buffers: this.buffers,
        get readback() {
          return device.resources.readback;
        },
        rebuild: (copyOf) => this.rebuild(copyOf),
      },
      options.snapshotInterval,
    );
  }

  get lost(): Promise<LossReason> {
    return this.loss.lost;
  }

  allocate(dtype: DType, size: number): WebglBuffer {
    this.check();
    const texture = this.resources.pool.acquire(formatOf(dtype, this.floats), this.layout.texels(size));
    const buffer = new WebglBuffer(this, dtype, size, texture);
    this.buffers.add(buffer);
    this.allocations++;
    this.liveBytes += buffer.bytes;
    return buffer;
  }

  free(buffer: DeviceBuffer): void {
    const own = buffer as WebglBuffer;
    if (this.closed || !this.buffers.delete(own)) return;
    own.freed = true;
    own.clearFlag();
    own.noteMissed(undefined);
    this.liveBytes -= own.bytes;
    this.resources.pool.release(own.texture);
  }

  write(buffer: DeviceBuffer, data: TypedArray, range?: BufferRange): void {
    const own = this.own(buffer);
    const { size, dtype, texture } = own;
    const [begin] = rangeOf("write", size, range, data.length);
    own.version++;
    if (data.length === size) {
      own.isLost = false;
      own.clearFlag();
      own.noteMissed(undefined);
    }
    const values = asTexels(data, dtype, texture.format);
    const { halfInfinity } = this.capabilities;
    uploadRange(this.gl, this.resources.pool, texture, values, begin, size, halfInfinity);
  }

  async read(buffer: DeviceBuffer, range?: BufferRange): Promise<TypedArray> {
    const own = this.own(buffer);
    const [begin, end] = rangeOf("read", own.size, range);
    requireContents(own);
    const { texture, dtype, flag, texels, missed, openFlags } = own;
    const { runner, readback } = this.resources;
    const known = flag?.errorAt(texels);
    if (known !== undefined) throw known;
    cleanState(this.gl);
    const size = end - begin;
    const parts = [{ texture, begin, size }, ...openFlags.map(({ part }) => part)];
    const pending = size + openFlags.length > 0 ? readback.start(...parts) : undefined;
    const raw = (await pending?.finish()) ?? new ArrayBuffer(0);
    takeFlags(openFlags, raw);
    const error = flag?.errorAt(texels);
    if (error !== undefined) throw error;
    if (own.missed === missed) own.noteMissed(undefined);
    const untold = missed && errorOf(new Int32Array(raw.slice(-missed.part.size * 4)));
    if (untold !== undefined) {
      cleanState(this.gl);
      runner.clearFlag(missed!);
      throw untold;
    }
    return fromRaw(raw, dtype, size, size > 0 ? begin % lanes : 0);
  }

  toString(): string {
    return describeDevice(this);
  }

  static {
    inspectable(WebglDevice.prototype);
  }

  prepare(program: Program): WebglExecutable {
    this.check();
    const builder = preparePasses(program, this.target, this.capabilities);
    const executable = new WebglExecutable(program, builder);
    executable.shadersIn(this.resources.programs);
    this.executables++;
    return executable;
  }

  async warmup(executable: WebglExecutable, progress?: WarmupProgress): Promise<void> {
    this.check();
    const { programs } = this.resources;
    const textures = new Map<ShaderProgram, number>();
    executable.shadersIn(programs).forEach((shader, i) => {
      const { step } = executable.steps[i];
      if (shader !== undefined && step.kind === "pass") textures.set(shader, step.pass.textures.length);
    });
    await programs.warmup(textures, progress);
  }

  release(executable: WebglExecutable): void {
    if (this.closed || executable.released) return;
    if (executable.missed) this.missedFlags.delete(executable.missed);
    executable.release(this.resources.programs);
    this.executables--;
  }

  run(executable: WebglExecutable, leaves: readonly DeviceBuffer[], scalars: readonly number[]): undefined {
    this.check();
    if (executable.released) throw new DeviceError("the executable was released", { device: this.name });
    const { leafCount, slots } = executable.program;
    const own = leaves.slice(0, leafCount).map((leaf) => this.own(leaf));
    own.forEach(({ size, dtype }, i) => {
      if (size === slots[i].size && dtype === slots[i].dtype) return;
      throw new ArgumentError(`leaf ${i} is ${size} × ${dtype}, not ${slots[i].size} × ${slots[i].dtype}`, {
        op: "run",
        device: this.name,
      });
    });
    for (const i of executable.readLeaves) requireContents(own[i]);
    for (const i of executable.writtenLeaves) {
      own[i].version++;
      own[i].isLost = false;
    }
    cleanState(this.gl);
    this.resources.programs.forgetCurrent();
    for (const i of executable.float32Leaves) this.setFloat32Storage(own[i]);
    this.runFlagged(executable, own, scalars);
    this.recovery.noteRun();
  }

  /** Runs an executable that may fail, with a flag that is attached to the results that depend on it. */
  private runFlagged(
    executable: WebglExecutable,
    own: readonly WebglBuffer[],
    scalars: readonly number[],
  ): void {
    const { runner } = this.resources;
    const { checks, readLeaves, writtenLeaves, program } = executable;
    const { inputCount = 0 } = program;
    const doubtful = readLeaves.filter((leaf) => own[leaf].isDoubtful);
    const size = checks.length + doubtful.length;
    const flag = size > 0 ? runner.makeFlag(size) : undefined;
    try {
      doubtful.forEach((leaf, i) => {
        const { flag: from, texels } = own[leaf];
        for (const texel of texels) runner.mergeFlag(from!, texel, flag!, checks.length + i, this.target);
      });
      runner.run(executable, own, scalars, flag);
      for (const leaf of writtenLeaves) if (leaf >= inputCount) own[leaf].clearFlag();
      if (flag === undefined) return;
      [...checks, ...doubtful.map((leaf) => executable.affectedByLeaf(leaf))].forEach(
        ({ results, missed }, texel) => {
          for (const leaf of results) own[leaf].addTexel(flag, texel);
          if (results.length > 0 || missed.length === 0) return;
          const flagOfMissed = this.missedOf(executable);
          runner.mergeFlag(flag, texel, flagOfMissed, 0, this.target);
          for (const leaf of missed) own[leaf].noteMissed(flagOfMissed);
        },
      );
    } finally {
      flag?.release();
    }
  }

  /** Flags held by executables: `close` releases them, because executables of a closed device are not released. */
  private readonly missedFlags = new Set<RunFlag>();

  private missedOf(executable: WebglExecutable): RunFlag {
    const { pool, runner } = this.resources;
    if (!executable.missed?.isOf(pool)) {
      executable.missed?.release();
      executable.missed = runner.makeFlag(1);
      this.missedFlags.add(executable.missed);
    }
    return executable.missed;
  }

  useFloat32Storage(buffer: DeviceBuffer): void {
    const own = this.own(buffer);
    if (this.floats === "rgba16f" && this.fullFloats === "rgba16f") {
      throw new DeviceError(
        `${this.info.description} renders half-float textures only: it cannot hold float32 in full`,
        {
          device: this.name,
          hint: 'open it for training with `storage` at "auto", which stores all of float32',
        },
      );
    }
    cleanState(this.gl);
    this.resources.programs.forgetCurrent();
    this.setFloat32Storage(own);
  }

  memory(): MemoryReport {
    const { peakBytes, reservedBytes } = this.resources.pool;
    return {
      liveBuffers: this.buffers.size,
      liveBytes: this.liveBytes,
      peakBytes,
      reservedBytes: this.closed ? 0 : reservedBytes,
      allocations: this.allocations,
      executables: this.executables,
    };
  }

  /** Textures and shader programs that exist now, and snapshots completed so far. */
  get counts(): { readonly textures: number; readonly programs: number; readonly snapshots: number } {
    const { pool, programs } = this.resources;
    return { textures: pool.count, programs: programs.count, snapshots: this.recovery.count };
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.forgetCapacity();
    this.loss.close();
    for (const buffer of this.buffers) {
      buffer.clearFlag();
      buffer.noteMissed(undefined);
      this.resources.pool.release(buffer.texture);
    }
    for (const flag of this.missedFlags) flag.release();
    this.buffers.clear();
    this.liveBytes = 0;
    this.executables = 0;
    this.resources.close();
    if (this.ownsContext) loseContext(this.gl);
  }

  /** Recreates all resources in the restored, empty context. @throws DeviceLostError if its capabilities are lower than before. */
  private rebuild(copyOf: (buffer: WebglBuffer) => { raw: ArrayBuffer; version: number } | undefined): void {
    const { gl, layout, capabilities: before } = this;
    const now = probeLive(gl, this.floats);
    const isEnough =
      before.exact.every((name) => now.exact.includes(name)) &&
      now.halfInfinity === before.halfInfinity &&
      (now.blend || !before.blend) &&
      now.maxTextureSize >= before.maxTextureSize &&
      now.drawBuffers >= before.drawBuffers;
    if (!isEnough) {
      throw new DeviceLostError(`the WebGL context was lost, and ${now.renderer} can do less`, {
        device: this.name,
        hint: "open another device",
      });
    }
    this.resources.readback.abandon();
    this.resources = new Resources(gl, layout, this.limits, now.parallelCompile);
    for (const buffer of this.buffers) {
      const { dtype, size } = buffer;
      buffer.texture = this.resources.pool.acquire(buffer.texture.format, layout.texels(size));
      const copy = copyOf(buffer);
      buffer.isLost = copy === undefined && size > 0;
      if (copy?.version !== buffer.version) buffer.rewinds++;
      buffer.clearFlag();
      buffer.noteMissed(undefined);
      if (copy === undefined || size === 0) continue;
      buffer.version = copy.version;
      const data = fromRaw(copy.raw, dtype, size);
      upload(gl, buffer.texture, asTexels(data, dtype, buffer.texture.format));
    }
  }

  /** Moves the buffer's values to a float32 texture. */
  private setFloat32Storage(buffer: WebglBuffer): void {
    const { dtype, size, texture, version } = buffer;
    const format = formatOf(dtype, this.fullFloats);
    if (texture.format === format) return;
    const { pool, runner } = this.resources;
    const full = pool.acquire(format, this.layout.texels(size));
    if (version > 0 && size > 0) runner.copy(texture, full, this.layout.texels(size), this.target);
    this.liveBytes -= buffer.bytes;
    buffer.texture = full;
    this.liveBytes += buffer.bytes;
    pool.release(texture);
  }

  private check(): void {
    if (this.closed) throw new DeviceError("the device is closed", { device: this.name });
    if (this.loss.isLost) throw contextLost();
  }

  private own(buffer: DeviceBuffer): WebglBuffer {
    this.check();
    const own = buffer as WebglBuffer;
    if (own.device !== this) throw new DeviceError("the buffer is on another device", { device: this.name });
    if (own.freed) throw new DeviceError("the buffer was freed", { device: this.name });
    return own;
  }
}

/** @throws StaleTensorError if the buffer's values were lost with the context. */
function requireContents({ isLost, device }: WebglBuffer): void {
  if (!isLost) return;
  throw new StaleTensorError("the tensor's value was lost with the WebGL context, after the last snapshot", {
    device: device.name,
    hint: "compute or upload it again",
  });
}
