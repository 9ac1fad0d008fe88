/** Uploads host values to textures: parts of rows, whole rows, and single channels of a texel. */
import { decodeFloat16 } from "../../../core/half.js";
import { cleanState } from "./context.js";
import { lanes, type Texels } from "./storage.js";
import type { Texture, TexturePool } from "./texture_pool.js";

/**
 * Copies values into a texture from element `begin` on, a multiple of 4: the rest of a row, whole rows at once, then the last row.
 * The last texel is padded with zeros.
 */
export function upload(gl: WebGL2RenderingContext, texture: Texture, data: Texels, begin = 0): void {
  const { handle, format, width } = texture;
  const rowLength = width * lanes;
  cleanState(gl);
  gl.activeTexture(gl.TEXTURE0);
  gl.bindTexture(gl.TEXTURE_2D, handle);
  for (let from = 0; from < data.length; ) {
    const column = (begin + from) % rowLength;
    const row = (begin + from - column) / rowLength;
    const rows = column > 0 ? 0 : Math.floor((data.length - from) / rowLength);
    const to = Math.min(data.length, from + (rows > 0 ? rows * rowLength : rowLength - column));
    const columns = rows > 0 ? width : Math.ceil((to - from) / lanes);
    gl.texSubImage2D(
      gl.TEXTURE_2D,
      0,
      column / lanes,
      row,
      columns,
      Math.max(rows, 1),
      format.format,
      format.type,
      wholeTexels(data.subarray(from, to)),
    );
    from = to;
  }
}

function wholeTexels(data: Texels): Texels {
  if (data.length % lanes === 0) return data;
  const padded = new (data.constructor as Float32ArrayConstructor)(Math.ceil(data.length / lanes) * lanes);
  padded.set(data);
  return padded;
}

/**
 * Copies values into a texture from any element on; other elements keep their values.
 *
 * @param size elements of the buffer; later channels of the texture are padding.
 * @param halfInfinity bits of the float32 that a driver stores as an infinite half (context.ts).
 */
export function uploadRange(
  gl: WebGL2RenderingContext,
  pool: TexturePool,
  texture: Texture,
  data: Texels,
  begin: number,
  size: number,
  halfInfinity?: number,
): void {
  const end = begin + data.length;
  const first = Math.min(end, Math.ceil(begin / lanes) * lanes);
  const last = end === size ? end : Math.max(first, end - (end % lanes));
  if (begin < first) writeChannels(gl, pool, texture, data.subarray(0, first - begin), begin, halfInfinity);
  upload(gl, texture, data.subarray(first - begin, last - begin), first);
  if (last < end) writeChannels(gl, pool, texture, data.subarray(last - begin), last, halfInfinity);
}

/** Writes some channels of one texel by a masked clear, the only way without a shader or a read. */
function writeChannels(
  gl: WebGL2RenderingContext,
  pool: TexturePool,
  texture: Texture,
  data: Texels,
  begin: number,
  halfInfinity?: number,
): void {
  const channel = begin % lanes;
  const texel = (begin - channel) / lanes;
  const isWritten = (i: number) => i >= channel && i < channel + data.length;
  cleanState(gl);
  gl.bindFramebuffer(gl.FRAMEBUFFER, pool.framebuffer([texture]));
  gl.enable(gl.SCISSOR_TEST);
  gl.scissor(texel % texture.width, Math.floor(texel / texture.width), 1, 1);
  gl.colorMask(isWritten(0), isWritten(1), isWritten(2), isWritten(3));
  const { output, name } = texture.format;
  if (output === "vec4") {
    const values = new Float32Array(lanes);
    values.set(name === "rgba16f" ? halvesToRender(data as Uint16Array, halfInfinity) : data, channel);
    gl.clearBufferfv(gl.COLOR, 0, values);
  } else {
    const values = output === "ivec4" ? new Int32Array(lanes) : new Uint32Array(lanes);
    values.set(data, channel);
    if (output === "ivec4") gl.clearBufferiv(gl.COLOR, 0, values);
    else gl.clearBufferuiv(gl.COLOR, 0, values);
  }
  cleanState(gl);
}

/** float32 values that are stored as these halves. */
function halvesToRender(halves: Uint16Array, infinity = 0x7f800000): Float32Array {
  const largest = new Float32Array(Uint32Array.of(infinity).buffer)[0];
  return decodeFloat16(halves).map((value) =>
    Math.abs(value) === Number.POSITIVE_INFINITY ? Math.sign(value) * largest : value,
  );
}
