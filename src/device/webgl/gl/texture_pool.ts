/**
 * Pool of textures by format and extent, because creating one costs up to a millisecond. Free textures beyond the byte budget are deleted,
 * least recently used first. A framebuffer is deleted with any of its textures.
 */
import { createTexture } from "twgl.js";
import { OutOfMemoryError } from "../../../core/errors.js";
import type { Extent, Format, RenderTargetLayout, TextureLayout } from "./storage.js";

export interface Texture {
  readonly id: number;
  readonly handle: WebGLTexture;
  readonly format: Format;
  readonly width: number;
  readonly height: number;
  /** Number of layers of a texture array; undefined for a plain texture. */
  readonly layers: number | undefined;
  readonly bytes: number;
  /** Keys of the framebuffers that it is attached to. */
  readonly framebuffers: Set<string>;
}

/** From this size on, allocation errors are queried at once, which costs a round trip. */
const checkedBytes = 16 * 1024 * 1024;

/** Maximum number of cached framebuffers: when reads complete in another order, textures are combined differently. */
const maxFramebuffers = 256;

interface Framebuffer {
  readonly handle: WebGLFramebuffer;
  readonly textures: readonly Texture[];
}

export class TexturePool {
  usedBytes = 0;
  reservedBytes = 0;
  peakBytes = 0;
  /** Number of textures. */
  count = 0;
  private nextId = 1;
  private freeBytes = 0;
  /** Free textures, least recently used first. */
  private readonly free = new Set<Texture>();
  private readonly bins = new Map<string, Texture[]>();
  /** The oldest first. */
  private readonly framebuffers = new Map<string, Framebuffer>();

  /**
   * @param freeBudget maximum bytes of free textures. @param maximumBytes maximum bytes of all textures.
   */
  constructor(
    private readonly gl: WebGL2RenderingContext,
    private readonly layout: TextureLayout,
    private readonly freeBudget: number,
    private readonly maximumBytes: number,
  ) {}

  /** A texture for at least `texels`, or of exactly the render target's shape; its contents are arbitrary. @throws OutOfMemoryError */
  acquire(format: Format, texels: number, targetLayout?: Extent | RenderTargetLayout): Texture {
    const extent = targetLayout ? this.layout.fitting(targetLayout) : this.layout.extent(texels);
    const layers = targetLayout && "layers" in targetLayout ? targetLayout.layers : undefined;
    const bin = this.bins.get(keyOf(format, extent, layers));
    const found = bin?.pop();
    if (found) {
      this.free.delete(found);
      this.freeBytes -= found.bytes;
    }
    const texture = found ?? this.make(format, extent, layers);
    this.usedBytes += texture.bytes;
    this.peakBytes = Math.max(this.peakBytes, this.usedBytes);
    return texture;
  }

  release(texture: Texture): void {
    this.usedBytes -= texture.bytes;
    this.freeBytes += texture.bytes;
    this.free.add(texture);
    const key = keyOf(texture.format, texture, texture.layers);
    const bin = this.bins.get(key);
    if (bin) bin.push(texture);
    else this.bins.set(key, [texture]);
    this.trim(this.freeBudget);
  }

  /** A framebuffer with the layers of these textures as colour attachments, in this order. */
  framebuffer(textures: readonly Texture[]): WebGLFramebuffer {
    const key = textures.length === 1 ? `${textures[0].id}` : textures.map(({ id }) => id).join();
    const found = this.framebuffers.get(key);
    if (found !== undefined) return found.handle;
    if (this.framebuffers.size >= maxFramebuffers) {
      const [oldest] = this.framebuffers.keys();
      this.deleteFramebuffer(oldest);
    }
    const handle = framebufferOf(this.gl, textures);
    this.framebuffers.set(key, { handle, textures });
    for (const texture of textures) texture.framebuffers.add(key);
    return handle;
  }

  /** Deletes all textures and framebuffers. */
  close(): void {
    this.trim(0);
  }

  /** Deletes free textures until at most `bytes` are kept. */
  private trim(bytes: number): void {
    for (const texture of this.free) {
      if (this.freeBytes <= bytes) return;
      this.free.delete(texture);
      const key = keyOf(texture.format, texture, texture.layers);
      const bin = this.bins.get(key)!;
      bin.splice(bin.indexOf(texture), 1);
      // For loops whose lengths, and so extents, are always new.
      if (bin.length === 0) this.bins.delete(key);
      this.freeBytes -= texture.bytes;
      this.destroy(texture);
    }
  }

  private destroy(texture: Texture): void {
    for (const key of texture.framebuffers) this.deleteFramebuffer(key);
    this.gl.deleteTexture(texture.handle);
    this.reservedBytes -= texture.bytes;
    this.count--;
  }

  private deleteFramebuffer(key: string): void {
    const { handle, textures } = this.framebuffers.get(key)!;
    this.gl.deleteFramebuffer(handle);
    this.framebuffers.delete(key);
    for (const texture of textures) texture.framebuffers.delete(key);
  }

  private make(format: Format, { width, height }: Extent, layers: number | undefined): Texture {
    const { gl } = this;
    const bytes = width * height * (layers ?? 1) * format.bytesPerTexel;
    if (this.reservedBytes + bytes > this.maximumBytes)
      this.trim(Math.max(0, this.maximumBytes - this.usedBytes - bytes));
    if (this.usedBytes + bytes > this.maximumBytes) throw this.outOfMemory(bytes);
    // Creating a texture without data is an error while an unpack buffer is bound.
    gl.bindBuffer(gl.PIXEL_UNPACK_BUFFER, null);
    const handle = blankTexture(gl, format, width, height, layers);
    if (bytes >= checkedBytes && gl.getError() === gl.OUT_OF_MEMORY) {
      gl.deleteTexture(handle);
      throw this.outOfMemory(bytes);
    }
    this.reservedBytes += bytes;
    this.count++;
    return { id: this.nextId++, handle, format, width, height, layers, bytes, framebuffers: new Set() };
  }

  private outOfMemory(bytes: number): OutOfMemoryError {
    return new OutOfMemoryError(
      `cannot make a texture of ${bytes} bytes; ${this.usedBytes} of at most ${this.maximumBytes} are in use`,
      { device: "webgl", hint: "free tensors that are no longer needed, or use smaller batches" },
    );
  }
}

/** An attachment of a framebuffer; each layer of a texture array is a separate attachment. */
export interface Attachable {
  readonly handle: WebGLTexture;
  readonly layers?: number;
}

/** Creates and binds a framebuffer with these textures, or all their layers, as colour attachments, in this order. */
export function framebufferOf(gl: WebGL2RenderingContext, textures: readonly Attachable[]): WebGLFramebuffer {
  // Not by twgl, which checks for the global class WebGLTexture, missing in Node.
  const framebuffer = gl.createFramebuffer();
  gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
  const points: number[] = [];
  const next = () => {
    points.push(gl.COLOR_ATTACHMENT0 + points.length);
    return points[points.length - 1];
  };
  for (const { handle, layers } of textures) {
    if (layers === undefined) {
      gl.framebufferTexture2D(gl.FRAMEBUFFER, next(), gl.TEXTURE_2D, handle, 0);
      continue;
    }
    for (let i = 0; i < layers; i++) gl.framebufferTextureLayer(gl.FRAMEBUFFER, next(), handle, 0, i);
  }
  gl.drawBuffers(points);
  return framebuffer;
}

/** Creates an uninitialized texture with nearest-texel sampling. No PIXEL_UNPACK_BUFFER may be bound. */
export function blankTexture(
  gl: WebGL2RenderingContext,
  { internalFormat, format, type }: Format,
  width: number,
  height: number,
  layers?: number,
): WebGLTexture {
  const sampling = { minMag: gl.NEAREST, wrap: gl.CLAMP_TO_EDGE, auto: false };
  const shape =
    layers === undefined ? { width, height } : { target: gl.TEXTURE_2D_ARRAY, width, height, depth: layers };
  return createTexture(gl, { ...shape, internalFormat, format, type, ...sampling });
}

function keyOf({ name }: Format, { width, height }: Extent, layers: number | undefined): string {
  return `${name} ${width}×${height}×${layers}`;
}
