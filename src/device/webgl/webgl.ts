/** The GPU device: WebGL2 fragment shaders over textures. See storage.ts for how tensors lie in them. */
import { type DType, itemSize, type TypedArray } from "../../tensor/dtype.js";
import { ArgumentError, DeviceError, IndexError } from "../../tensor/errors.js";
import type { Device, DeviceBuffer, DeviceInfo, LossReason, MemoryReport, Program } from "../device.js";
import { type Capabilities, chooseStorage, cleanState, createContext, probe } from "./context.js";
import { WebglExecutable } from "./executable.js";
import { preparePasses } from "./prepare.js";
import { ProgramCache, type Program as ShaderProgram } from "./programs.js";
import { contextLost, fromRaw, Readback } from "./readback.js";
import { Runner } from "./runner.js";
import type { ShaderTarget } from "./shader.js";
import { asTexels, type FloatStorage, formatOf, TextureLayout } from "./storage.js";
import { type Texture, TexturePool } from "./texture_pool.js";

export interface WebglOptions {
  /** A context to compute on, e.g. of a canvas that is drawn on as well. By default the device makes one of its own. */
  readonly gl?: WebGL2RenderingContext;
  /** How float32 is stored; by default as float textures where a test at the start finds them exact. */
  readonly storage?: FloatStorage | "auto";
  /** Folds rows of textures at this width instead of the device's. For tests. */
  readonly textureLimit?: number;
  /** Most bytes of free textures that are kept for reuse; 256 MiB by default. */
  readonly poolBytes?: number;
  /** Most bytes of textures; 4 GiB by default, as WebGL does not tell how much there is. */
  readonly maximumBytes?: number;
  /** Floating-point operations per draw; longer ones are split, so that the driver does not take them for hung. */
  readonly flopsPerDraw?: number;
}

const defaultPoolBytes = 256 * 1024 * 1024;
const defaultMaximumBytes = 4 * 1024 * 1024 * 1024;
/** About 50 ms at the 4 GFLOP/s of a software rasteriser, well under a millisecond on a GPU. */
const defaultFlopsPerDraw = 200e6;
/** Render targets that shaders use: what WebGL2 guarantees. */
const usedDrawBuffers = 4;

export class WebglBuffer implements DeviceBuffer {
  freed = false;

  constructor(
    readonly device: WebglDevice,
    readonly dtype: DType,
    readonly size: number,
    /** Replaced when a kernel updates the buffer that it reads. */
    public texture: Texture,
  ) {}
}

/**
 * Opens the WebGL2 device.
 * @throws DeviceError if there is no context, or none that stores exact values.
 * @example
 * const device = await openWebgl();
 * console.log(device.info.description); // WebGL2, ANGLE (…)
 */
export async function openWebgl(options: WebglOptions = {}): Promise<WebglDevice> {
  const gl = options.gl ?? createContext();
  if (gl.isContextLost()) throw contextLost();
  const capabilities = probe(gl);
  return new WebglDevice(gl, capabilities, chooseStorage(capabilities, options.storage ?? "auto"), options);
}

export class WebglDevice implements Device {
  readonly name = "webgl";
  readonly info: DeviceInfo;
  readonly lost: Promise<LossReason>;

  private readonly layout: TextureLayout;
  private readonly pool: TexturePool;
  private readonly programs: ProgramCache;
  private readonly readback: Readback;
  private readonly runner: Runner;
  private readonly target: ShaderTarget;
  private readonly buffers = new Set<WebglBuffer>();
  private liveBytes = 0;
  private allocations = 0;
  private executables = 0;
  private closed = false;
  private readonly ownsContext: boolean;

  constructor(
    private readonly gl: WebGL2RenderingContext,
    private readonly capabilities: Capabilities,
    private readonly floats: FloatStorage,
    options: WebglOptions,
  ) {
    const { renderer, maxTextureSize, drawBuffers, parallelCompile, blend } = capabilities;
    this.ownsContext = options.gl === undefined;
    this.layout = new TextureLayout(maxTextureSize, options.textureLimit);
    this.pool = new TexturePool(
      gl,
      this.layout,
      options.poolBytes ?? defaultPoolBytes,
      options.maximumBytes ?? defaultMaximumBytes,
    );
    this.programs = new ProgramCache(gl, parallelCompile);
    this.readback = new Readback(gl, this.pool, this.layout);
    const flopsPerDraw = options.flopsPerDraw ?? defaultFlopsPerDraw;
    this.runner = new Runner(gl, this.layout, this.pool, this.programs, flopsPerDraw);
    this.target = { floats, shift: this.layout.shift, drawBuffers: Math.min(drawBuffers, usedDrawBuffers) };
    this.info = {
      description: `WebGL2, ${renderer}`,
      convLayout: "channels-last",
      details: {
        renderer,
        storage: floats,
        maxTextureSize,
        textureWidth: this.layout.width,
        drawBuffers,
        blend,
        parallelCompile: parallelCompile !== null,
      },
    };
    this.lost = new Promise((resolve) => {
      gl.canvas.addEventListener?.(
        "webglcontextlost",
        () => resolve({ message: "the browser or the driver took the WebGL context away" }),
        { once: true },
      );
    });
  }

  allocate(dtype: DType, size: number): WebglBuffer {
    this.check();
    const texture = this.pool.acquire(formatOf(dtype, this.floats), this.layout.texels(size));
    const buffer = new WebglBuffer(this, dtype, size, texture);
    this.buffers.add(buffer);
    this.allocations++;
    this.liveBytes += size * itemSize[dtype];
    return buffer;
  }

  free(buffer: DeviceBuffer): void {
    const own = buffer as WebglBuffer;
    if (this.closed || !this.buffers.delete(own)) return;
    own.freed = true;
    this.liveBytes -= own.size * itemSize[own.dtype];
    this.pool.release(own.texture);
  }

  write(buffer: DeviceBuffer, data: TypedArray): void {
    const own = this.own(buffer);
    if (data.length !== own.size) {
      throw new ArgumentError(`a buffer of ${own.size} elements was given ${data.length}`, { op: "write" });
    }
    if (own.size > 0) this.upload(own.texture, asTexels(data, own.dtype, own.texture.format));
  }

  async read(buffer: DeviceBuffer): Promise<TypedArray> {
    const { texture, dtype, size } = this.own(buffer);
    cleanState(this.gl);
    const failure = this.runner.takeFlag();
    const pendingFailure = failure && this.readback.start(failure, 4);
    if (failure) this.runner.clearFlag();
    const pending = size > 0 ? this.readback.start(texture, size) : undefined;
    const flagged = pendingFailure && new Int32Array(await pendingFailure.finish());
    const raw = await pending?.finish();
    if (flagged?.[0]) throw indexError(flagged);
    return fromRaw(raw ?? new ArrayBuffer(0), dtype, size);
  }

  prepare(program: Program): WebglExecutable {
    this.check();
    const builder = preparePasses(program, this.target, this.capabilities);
    const executable = new WebglExecutable(program, builder, this.floats, (step) =>
      step.kind === "pass" ? this.programs.get(step.pass.vertex, step.pass.fragment) : undefined,
    );
    this.executables++;
    return executable;
  }

  /**
   * Waits, without blocking, until the shaders of an executable are compiled; without it the first run waits.
   * `progress` is told how many of how many are done.
   */
  async warmup(executable: WebglExecutable, progress?: (done: number, all: number) => void): Promise<void> {
    this.check();
    const shaders = new Set(
      executable.steps.flatMap(({ shader }): ShaderProgram[] => (shader ? [shader] : [])),
    );
    await this.programs.warmup([...shaders], progress);
  }

  release(executable: WebglExecutable): void {
    if (this.closed || executable.released) return;
    executable.released = true;
    this.executables--;
  }

  run(executable: WebglExecutable, leaves: readonly DeviceBuffer[], scalars: readonly number[]): void {
    this.check();
    if (executable.released) throw new DeviceError("the executable was released", { device: this.name });
    const { leafCount, slots } = executable.program;
    for (let i = 0; i < leafCount; i++) {
      const leaf = this.own(leaves[i]);
      if (leaf.size !== slots[i].size || leaf.dtype !== slots[i].dtype) {
        throw new ArgumentError(
          `leaf ${i} is ${leaf.size} × ${leaf.dtype}, not ${slots[i].size} × ${slots[i].dtype}`,
          { op: "run", device: this.name },
        );
      }
    }
    cleanState(this.gl);
    this.programs.forgetCurrent();
    this.runner.run(executable, leaves as readonly WebglBuffer[], scalars);
  }

  memory(): MemoryReport {
    return {
      liveBuffers: this.buffers.size,
      liveBytes: this.liveBytes,
      peakBytes: this.pool.peakBytes,
      reservedBytes: this.pool.reservedBytes,
      allocations: this.allocations,
      executables: this.executables,
    };
  }

  /** Textures and shader programs that exist now. */
  get resources(): { readonly textures: number; readonly programs: number } {
    return { textures: this.pool.count, programs: this.programs.count };
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const { texture } of this.buffers) this.pool.release(texture);
    this.buffers.clear();
    this.liveBytes = 0;
    this.executables = 0;
    this.runner.close();
    this.readback.close();
    this.programs.close();
    this.pool.close();
    // Browsers allow about 16 contexts at a time and take the oldest away; garbage collection is too late.
    if (this.ownsContext) this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }

  private upload(
    texture: Texture,
    data: ArrayBufferView & { length: number; subarray(a: number, b: number): ArrayBufferView },
  ): void {
    const { gl, layout } = this;
    const { format, type } = texture.format;
    const rowLength = layout.width * 4;
    const rows = Math.floor(data.length / rowLength);
    cleanState(gl);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, texture.handle);
    if (rows > 0) {
      gl.texSubImage2D(
        gl.TEXTURE_2D,
        0,
        0,
        0,
        layout.width,
        rows,
        format,
        type,
        data.subarray(0, rows * rowLength),
      );
    }
    const rest = data.length - rows * rowLength;
    if (rest === 0) return;
    const texels = layout.texels(rest);
    let last = data.subarray(rows * rowLength, data.length);
    if (rest % 4 !== 0) {
      const padded = new (data.constructor as Uint8ArrayConstructor)(texels * 4);
      padded.set(last as Uint8Array);
      last = padded;
    }
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, rows, texels, 1, format, type, last);
  }

  private check(): void {
    if (this.closed) throw new DeviceError("the device is closed", { device: this.name });
  }

  private own(buffer: DeviceBuffer): WebglBuffer {
    this.check();
    const own = buffer as WebglBuffer;
    if (own.device !== this) throw new DeviceError("the buffer is on another device", { device: this.name });
    if (own.freed) throw new DeviceError("the buffer was freed", { device: this.name });
    return own;
  }
}

function indexError([, index, axisSize, kernel]: Int32Array): IndexError {
  const range = axisSize > 0 ? `0..${axisSize - 1}` : "an empty axis";
  return new IndexError(`index ${index} is outside ${range}`, {
    op: kernel === 0 ? "gather" : "scatterAdd",
    device: "webgl",
  });
}
