/**
 * Layout of tensors in textures. Element i of a buffer is channel i & 3 of texel i >> 2; texel t is at column t & (width − 1) of row
 * t >> log2(width). The width is a power of two that depends on the buffer's size, so that index arithmetic in shaders needs only shifts
 * and masks, and offsets of strided views are plain integers.
 */
import { type DType, isHalf, type TypedArray } from "../../../core/dtype.js";
import { OutOfMemoryError } from "../../../core/errors.js";
import { encodeFloat16 } from "../../../core/half.js";

/** Storage of float32: as float32, as bits in integer textures if float textures cannot be rendered to, or rounded to half floats. */
export type FloatStorage = "rgba32f" | "rgba32ui" | "rgba16f";

export type FormatName = FloatStorage | "rgba32i" | "rgba16ui" | "rgba8i" | "rgba8ui";

export interface Format {
  readonly name: FormatName;
  readonly internalFormat: number;
  readonly format: number;
  readonly type: number;
  readonly bytesPerTexel: number;
  /** The GLSL sampler type and the type of an output variable. */
  readonly sampler: "sampler2D" | "isampler2D" | "usampler2D";
  readonly output: "vec4" | "ivec4" | "uvec4";
}

/** Constants of WebGL2, so that formats need no context. */
const RGBA = 0x1908;
const RGBA_INTEGER = 0x8d99;
const BYTE = 0x1400;
const UNSIGNED_BYTE = 0x1401;
const UNSIGNED_SHORT = 0x1403;
const INT = 0x1404;
const UNSIGNED_INT = 0x1405;
const FLOAT = 0x1406;
const HALF_FLOAT = 0x140b;

export const formats: Readonly<Record<FormatName, Format>> = {
  rgba32f: format("rgba32f", 0x8814, RGBA, FLOAT, 16, "sampler2D", "vec4"),
  rgba32ui: format("rgba32ui", 0x8d70, RGBA_INTEGER, UNSIGNED_INT, 16, "usampler2D", "uvec4"),
  rgba16f: format("rgba16f", 0x881a, RGBA, HALF_FLOAT, 8, "sampler2D", "vec4"),
  rgba32i: format("rgba32i", 0x8d82, RGBA_INTEGER, INT, 16, "isampler2D", "ivec4"),
  rgba16ui: format("rgba16ui", 0x8d76, RGBA_INTEGER, UNSIGNED_SHORT, 8, "usampler2D", "uvec4"),
  rgba8i: format("rgba8i", 0x8d8e, RGBA_INTEGER, BYTE, 4, "isampler2D", "ivec4"),
  rgba8ui: format("rgba8ui", 0x8d7c, RGBA_INTEGER, UNSIGNED_BYTE, 4, "usampler2D", "uvec4"),
};

function format(
  name: FormatName,
  internalFormat: number,
  kind: number,
  type: number,
  bytesPerTexel: number,
  sampler: Format["sampler"],
  output: Format["output"],
): Format {
  return { name, internalFormat, format: kind, type, bytesPerTexel, sampler, output };
}

export function formatOf(dtype: DType, floats: FloatStorage): Format {
  switch (dtype) {
    case "float32":
      return formats[floats];
    case "int32":
      return formats.rgba32i;
    // Stored as bits: there is no format for bfloat16, and drivers differ in subnormal numbers and infinities of RGBA16F.
    case "float16":
    case "bfloat16":
      return formats.rgba16ui;
    case "int8":
      return formats.rgba8i;
    default:
      return formats.rgba8ui;
  }
}

/** The type in which a texture's values are read: 32 bits per channel, to which every driver converts. */
export function readType({ output }: Format): number {
  return output === "vec4" ? FLOAT : output === "ivec4" ? INT : UNSIGNED_INT;
}

/** Elements per texel. */
export const lanes = 4;

/** Columns of large textures; a power of two. 4096 × 4096 texels are 2^26 elements on the smallest phone. */
const preferredWidth = 4096;
/**
 * Columns of small textures. GPUs draw two rows at a time and waste half of a single row, and SwiftShader distributes pairs of rows to
 * its threads: buffers of a few thousand texels should have several rows. Large textures have many rows anyway, and in wide rows whole
 * rows of images fit.
 */
const narrowWidth = 256;
/** For large textures with a forced width: small textures are narrower by this factor, but not narrower than the minimum. */
const narrowing = 4;
const narrowest = 4;
/** Heights of textures with several rows are rounded up to one of this many steps per octave, so that the pool can reuse textures. */
const stepsPerOctave = 4;

export interface Extent {
  readonly width: number;
  readonly height: number;
}

/** The shape of a texture array whose layers are the render targets of one draw. */
export interface RenderTargetLayout extends Extent {
  readonly layers: number;
}

export class TextureLayout {
  /** log2 of the width of large textures, and of the others. */
  private readonly wideShift: number;
  private readonly narrowShift: number;
  readonly maxHeight: number;

  /** @param limit the device's largest texture extent. @param forced a smaller width, for tests. */
  constructor(limit: number, forced?: number) {
    const wide = Math.min(limit, forced ?? preferredWidth);
    const narrow = Math.min(narrowWidth, wide, Math.max(narrowest, wide / narrowing));
    this.wideShift = Math.max(0, Math.floor(Math.log2(wide)));
    this.narrowShift = Math.max(0, Math.floor(Math.log2(narrow)));
    this.maxHeight = limit;
  }

  texels(size: number): number {
    return Math.ceil(size / lanes);
  }

  /** log2 of the width of a texture for `texels`: the narrow width while the height is at most the width. */
  shiftFor(texels: number): number {
    return texels <= 4 ** this.narrowShift ? this.narrowShift : this.wideShift;
  }

  /** The width of a texture for `texels`, if it has several rows. */
  widthFor(texels: number): number {
    return 2 ** this.shiftFor(texels);
  }

  /** The width of the widest textures. */
  get widest(): number {
    return 2 ** this.wideShift;
  }

  /** Texels that a draw covers: exactly as many rows as needed. */
  region(texels: number): Extent {
    const line = this.widthFor(texels);
    if (texels <= line) return { width: texels, height: 1 };
    return { width: line, height: Math.ceil(texels / line) };
  }

  /**
   * The extent of a texture for `texels`, rounded up so that similar sizes share textures.
   * @throws OutOfMemoryError if it is larger than the device's textures can be.
   */
  extent(texels: number): Extent {
    const line = this.widthFor(texels);
    if (texels <= line) {
      return { width: 2 ** Math.ceil(Math.log2(Math.max(texels, 1))), height: 1 };
    }
    const rows = Math.ceil(texels / line);
    if (rows > this.maxHeight) throw this.tooLarge(texels, line * this.maxHeight);
    const step = Math.max(1, 2 ** (Math.floor(Math.log2(rows)) - Math.log2(stepsPerOctave)));
    return { width: line, height: Math.min(Math.ceil(rows / step) * step, this.maxHeight) };
  }

  /** The extent of a render target (pass.ts), checked against the limits of textures. @throws OutOfMemoryError if not. */
  fitting(targetLayout: Extent): Extent {
    const { width, height } = targetLayout;
    const limit = this.maxHeight;
    if (width > limit || height > limit) throw this.tooLarge(width * height, limit * limit);
    return targetLayout;
  }

  private tooLarge(texels: number, most: number): OutOfMemoryError {
    return new OutOfMemoryError(
      `a tensor of ${texels * lanes} elements does not fit a texture of ${most * lanes}`,
      { device: "webgl", hint: "split the tensor, use smaller batches, or open the wasm device" },
    );
  }
}

/** Converts `data` to the texture's format: float32 as is, as bits, or rounded to halves. */
export function asTexels(
  data: TypedArray,
  dtype: DType,
  { name }: Format,
): Exclude<TypedArray, Float64Array> | Uint32Array | Uint16Array {
  if (dtype === "float32") {
    const floats = data instanceof Float32Array ? data : Float32Array.from(data);
    if (name === "rgba16f") return encodeFloat16(floats);
    return name === "rgba32ui" ? new Uint32Array(floats.buffer, floats.byteOffset, floats.length) : floats;
  }
  if (dtype === "int32") return data instanceof Int32Array ? data : Int32Array.from(data);
  if (isHalf(dtype)) return data instanceof Uint16Array ? data : Uint16Array.from(data);
  if (dtype === "int8") return data instanceof Int8Array ? data : Int8Array.from(data);
  return data instanceof Uint8Array ? data : Uint8Array.from(data);
}

/** The arrays that texSubImage2D accepts. */
export type Texels = Float32Array | Uint32Array | Uint16Array | Int32Array | Uint8Array | Int8Array;
