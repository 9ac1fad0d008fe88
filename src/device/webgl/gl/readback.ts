/**
 * Reads textures without blocking the page: enqueues a copy to a pixel-pack buffer and a fence, and copies the values to the host once
 * the fence is signalled.
 */
import { type DType, newArray, type TypedArray } from "../../../core/dtype.js";
import { DeviceError } from "../../../core/errors.js";
import { nextTurn } from "../../../core/event_loop.js";
import { contextLost } from "./loss.js";
import { lanes, readType } from "./storage.js";
import type { Texture, TexturePool } from "./texture_pool.js";

/** Polls without a pause in between, so that a copy that is already complete resolves in the next turn of the event loop. */
const eagerPolls = 2;

/** Bytes of a texel as it is read, in any format. */
const texelBytes = lanes * 4;

/** Bytes copied to the host per turn of the event loop, which takes a few ms. */
const bytesPerTurn = 8 * 1024 * 1024;

/** `size` elements of a texture. */
export interface ReadPart {
  readonly texture: Texture;
  readonly size: number;
  /** The first element, 0 by default; reading begins at its texel. */
  readonly begin?: number;
}

/** The first texel and the number of texels of a part. */
function texelsOf({ begin = 0, size }: ReadPart): readonly [first: number, count: number] {
  const first = Math.floor(begin / lanes);
  return [first, size === 0 ? 0 : Math.ceil((begin + size) / lanes) - first];
}

/** An enqueued copy. */
export interface PendingRead {
  /** The raw values of all parts, concatenated, in texel order. */
  finish(): Promise<ArrayBuffer>;
}

export class Readback {
  /** Pack buffers of pending reads, with their fences. */
  private readonly pending = new Map<WebGLBuffer, WebGLSync | null>();
  /** The error of pending reads after a loss or `close`. */
  private end: (() => Error) | undefined;

  constructor(
    private readonly gl: WebGL2RenderingContext,
    private readonly pool: TexturePool,
  ) {}

  /** Enqueues one copy of all parts, so that there is one fence to wait for. */
  start(...parts: readonly ReadPart[]): PendingRead {
    const { gl } = this;
    const bytes = parts.reduce((sum, part) => sum + texelsOf(part)[1] * texelBytes, 0);
    const pack = this.packBuffer(bytes);
    gl.pixelStorei(gl.PACK_ALIGNMENT, 1);
    let at = 0;
    for (const part of parts) {
      const [first, count] = texelsOf(part);
      this.copy(part.texture, first, count, at);
      at += count * texelBytes;
    }
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
    const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    this.pending.set(pack, fence);
    gl.flush();
    return { finish: () => this.finish(pack, bytes, fence) };
  }

  /** Copies texels of a texture to the bound pack buffer from byte `at` on, in up to three rectangles: rest of a row, whole rows, last row. */
  private copy(texture: Texture, first: number, count: number, at: number): void {
    const { gl } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.pool.framebuffer([texture]));
    gl.readBuffer(gl.COLOR_ATTACHMENT0);
    const { format, width } = texture;
    const type = readType(format);
    for (let done = 0; done < count; ) {
      const column = (first + done) % width;
      const row = (first + done - column) / width;
      const rows = column > 0 ? 0 : Math.floor((count - done) / width);
      const columns = rows > 0 ? width : Math.min(count - done, width - column);
      gl.readPixels(column, row, columns, Math.max(rows, 1), format.format, type, at + done * texelBytes);
      done += columns * Math.max(rows, 1);
    }
  }

  /** Fails pending reads after a loss of the context; their buffers are gone. */
  abandon(): void {
    this.end = contextLost;
    this.pending.clear();
  }

  close(): void {
    this.end = () => new DeviceError("the device was closed during a read", { device: "webgl" });
    for (const [pack, fence] of this.pending) {
      this.gl.deleteBuffer(pack);
      this.gl.deleteSync(fence);
    }
    this.pending.clear();
  }

  /** @throws if the enqueued copy is gone: the context was lost (even if restored since), or the device closed. */
  private check(): void {
    if (this.end !== undefined) throw this.end();
    if (this.gl.isContextLost()) throw contextLost();
  }

  /** A new buffer for each read: Chromium warns about a discarded shadow copy if a buffer is written twice. */
  private packBuffer(bytes: number): WebGLBuffer {
    const { gl } = this;
    const handle = gl.createBuffer()!;
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, handle);
    gl.bufferData(gl.PIXEL_PACK_BUFFER, bytes, gl.STREAM_READ);
    return handle;
  }

  private async finish(pack: WebGLBuffer, bytes: number, fence: WebGLSync | null): Promise<ArrayBuffer> {
    const { gl } = this;
    if (fence === null) throw contextLost();
    for (let polls = 0; ; polls++) {
      this.check();
      const status = gl.clientWaitSync(fence, 0, 0);
      if (status === gl.ALREADY_SIGNALED || status === gl.CONDITION_SATISFIED) break;
      if (status === gl.WAIT_FAILED) throw contextLost();
      await (polls < eagerPolls ? nextTurn() : pause());
    }
    gl.deleteSync(fence);
    this.pending.set(pack, null);
    const result = new ArrayBuffer(bytes);
    for (let from = 0; from < bytes; from += bytesPerTurn) {
      if (from > 0) {
        await nextTurn();
        this.check();
      }
      gl.bindBuffer(gl.PIXEL_PACK_BUFFER, pack);
      const part = new Uint8Array(result, from, Math.min(bytesPerTurn, bytes - from));
      gl.getBufferSubData(gl.PIXEL_PACK_BUFFER, from, part);
      gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
      // In a lost context this leaves the array unchanged and reports no error.
      this.check();
    }
    this.pending.delete(pack);
    gl.deleteBuffer(pack);
    return result;
  }
}

/** Raw values, from word `first` on, as the typed array of a dtype. */
export function fromRaw(raw: ArrayBuffer, dtype: DType, size: number, first = 0): TypedArray {
  if (dtype === "float32") return new Float32Array(raw, first * 4, size);
  const words = new Int32Array(raw, first * 4, size);
  if (dtype === "int32") return words;
  const result = newArray(dtype, size);
  result.set(words);
  return result;
}

/** In some browsers: https://wicg.github.io/scheduling-apis/. */
declare const scheduler:
  | { postTask(callback: () => void, options: { delay: number }): Promise<void> }
  | undefined;

/** About a millisecond. */
async function pause(): Promise<void> {
  if (typeof scheduler !== "undefined") {
    await scheduler.postTask(() => {}, { delay: 1 });
    return;
  }
  // Not a nested timer: browsers clamp nested timers to 4 ms from the sixth on.
  await nextTurn();
  await new Promise((resolve) => setTimeout(resolve, 1));
}
