/** The WebGL2 context and its capabilities, which are probed by rendering: drivers misreport some. */
import { createProgramFromSources } from "twgl.js";
import cover from "../../../../glsl/cover.vert.glsl";
import select from "../../../../glsl/select.glsl";
import { DeviceError } from "../../../core/errors.js";
import { encodeFloat16 } from "../../../core/half.js";
import { halfChunk } from "./half.js";
import {
  type FloatStorage,
  type Format,
  type FormatName,
  formats,
  lanes,
  readType,
  type Texels,
} from "./storage.js";
import { blankTexture, framebufferOf } from "./texture_pool.js";

export interface Capabilities {
  readonly renderer: string;
  readonly maxTextureSize: number;
  readonly drawBuffers: number;
  readonly textureUnits: number;
  /** Formats that store rendered values exactly; rgba16f if it was requested and stores correctly rounded halves. */
  readonly exact: readonly FormatName[];
  /** Bits of the float32 that becomes infinite in rgba16f (half.ts). */
  readonly halfInfinity: number | undefined;
  /** Blending into float textures adds exactly. */
  readonly blend: boolean;
  readonly parallelCompile: { readonly COMPLETION_STATUS_KHR: number } | null;
}

/**
 * Creates a context without a visible canvas.
 * @throws DeviceError if that is not possible.
 */
export function createContext(): WebGL2RenderingContext {
  const attributes: WebGLContextAttributes = {
    alpha: false,
    antialias: false,
    depth: false,
    stencil: false,
    preserveDrawingBuffer: false,
    powerPreference: "high-performance",
  };
  const canvas =
    typeof OffscreenCanvas !== "undefined"
      ? new OffscreenCanvas(1, 1)
      : typeof document !== "undefined"
        ? document.createElement("canvas")
        : undefined;
  if (canvas === undefined) {
    throw new DeviceError("there is no canvas here to get a WebGL2 context from", {
      op: "openWebgl",
      device: "webgl",
      hint: "pass a WebGL2RenderingContext as `gl`, or open the wasm device",
    });
  }
  const gl = canvas.getContext("webgl2", attributes) as WebGL2RenderingContext | null;
  if (gl === null) {
    throw new DeviceError("the browser gives no WebGL2 context", {
      op: "openWebgl",
      device: "webgl",
      hint: "switch on hardware acceleration, close other pages that use the GPU, or open the wasm device",
    });
  }
  return gl;
}

/** A context holds one error of each kind at most. */
const maxPendingErrors = 8;

/** Enables the extensions (again after a loss) and probes the storage formats; half floats only if `wish` is "rgba16f". */
export function probe(gl: WebGL2RenderingContext, wish: FloatStorage | "auto"): Capabilities {
  // Discards errors of earlier commands, which are not failures of the probes.
  for (let i = 0; i < maxPendingErrors && gl.getError() !== gl.NO_ERROR; i++);
  cleanState(gl);
  gl.bindSampler(0, null);
  gl.getExtension("EXT_color_buffer_float");
  if (wish === "rgba16f") gl.getExtension("EXT_color_buffer_half_float");
  const blendable = gl.getExtension("EXT_float_blend") !== null;
  const debug = gl.getExtension("WEBGL_debug_renderer_info");
  const exact: FormatName[] = (Object.keys(samples) as SampledName[]).filter((name) => holdsBits(gl, name));
  const halfInfinity = wish === "rgba16f" ? probeHalf(gl) : undefined;
  if (halfInfinity !== undefined) exact.push("rgba16f");
  return {
    renderer: String(gl.getParameter(debug ? debug.UNMASKED_RENDERER_WEBGL : gl.RENDERER)),
    maxTextureSize: gl.getParameter(gl.MAX_TEXTURE_SIZE),
    drawBuffers: Math.min(gl.getParameter(gl.MAX_DRAW_BUFFERS), gl.getParameter(gl.MAX_COLOR_ATTACHMENTS)),
    textureUnits: gl.getParameter(gl.MAX_TEXTURE_IMAGE_UNITS),
    exact,
    halfInfinity,
    blend: blendable && exact.includes("rgba32f") && addsUp(gl),
    parallelCompile: gl.getExtension("KHR_parallel_shader_compile"),
  };
}

/** @throws DeviceError if the requested storage is not available. */
export function chooseStorage({ exact, renderer }: Capabilities, wish: FloatStorage | "auto"): FloatStorage {
  if (wish === "rgba16f" && !exact.includes(wish)) {
    throw new DeviceError(`${renderer} renders no half-float textures (RGBA16F)`, {
      op: "openWebgl",
      device: "webgl",
      hint: 'leave `storage` at "auto", which stores all of float32, or open the wasm device',
    });
  }
  const candidates: readonly FloatStorage[] = wish === "auto" ? ["rgba32f", "rgba32ui"] : [wish];
  const found = candidates.find((name) => exact.includes(name));
  const others: readonly FormatName[] = ["rgba32i", "rgba16ui", "rgba8i", "rgba8ui"];
  if (found !== undefined && others.every((name) => exact.includes(name))) return found;
  const kinds = exact.length > 0 ? `those of ${exact.join(", ")} only` : "none";
  throw new DeviceError(`of the textures that are needed, ${renderer} holds exact values in ${kinds}`, {
    op: "openWebgl",
    device: "webgl",
    hint: "open the wasm device",
  });
}

type SampledName = Exclude<FormatName, "rgba16f">;

/** Values that a texture of each kind must store exactly: small, large, odd mantissas, both signs. */
const samples: Readonly<Record<SampledName, Texels>> = {
  rgba32f: Float32Array.of(1 / 3, -1e30, 1.17549435e-38, 16777215),
  rgba32ui: Uint32Array.of(0xffffffff, 1, 0x7fc00001, 0x80000000),
  rgba32i: Int32Array.of(-2147483648, 2147483647, -1, 16777217),
  rgba8i: Int8Array.of(-128, 127, -1, 5),
  rgba16ui: Uint16Array.of(65535, 0, 32768, 7),
  rgba8ui: Uint8Array.of(255, 0, 128, 7),
};

/** Uploads values, copies them by rendering and reads the copy: whether the bits are equal. */
function holdsBits(gl: WebGL2RenderingContext, name: SampledName): boolean {
  const data = samples[name];
  const result = renderTexel(gl, formats[name], data, "", "texel");
  return result?.every((value, i) => Object.is(value, data[i])) ?? false;
}

/**
 * Bits of the float32 to render for an infinite half: infinity, or 2^16 on SwiftShader, which rounds 2^16 to infinity but stores NaN for
 * infinity and larger values.
 */
const infinities = [0x7f800000, 0x47800000] as const;

/** Rendered values, and the halves that must be stored for them. */
const roundings: readonly (readonly [rendered: readonly string[], stored: readonly number[]])[] = [
  [
    ["1.00146484375", "-1.00048828125", "65519.0", "-65520.0"],
    [1 + 2 ** -9, -1, 65504, Number.NEGATIVE_INFINITY],
  ],
  [
    ["infinity().x", "6.103515625e-5", "-1e30", "0.0"],
    [Number.POSITIVE_INFINITY, 2 ** -14, Number.NEGATIVE_INFINITY, 0],
  ],
  [
    ["texel.x", "texel.y", "texel.z", "texel.w"],
    [0.333251953125, -65504, Number.NEGATIVE_INFINITY, 1023],
  ],
];

/** The bits of the float32 that the driver stores as an infinite half; undefined if it does not round halves correctly. */
function probeHalf(gl: WebGL2RenderingContext): number | undefined {
  const held = encodeFloat16(Float32Array.from(roundings[2][1]));
  return infinities.find((infinity) =>
    roundings.every(([rendered, stored]) => {
      // Multiplied by 1 in a form that compilers do not fold.
      const value = `roundToHalf(2.0 * gl_FragCoord.x * vec4(${rendered.join(", ")}))`;
      const functions = [select, halfChunk(infinity)].join("\n");
      const result = renderTexel(gl, formats.rgba16f, held, functions, value);
      return result?.every((x, i) => x === stored[i]);
    }),
  );
}

/** Uploads a texel, renders a GLSL expression of `texel`, and reads the result; undefined if the driver reports an error. */
function renderTexel(
  gl: WebGL2RenderingContext,
  format: Format,
  data: Texels,
  functions: string,
  expression: string,
): Float32Array | Int32Array | Uint32Array | undefined {
  const { sampler, output } = format;
  const source = oneTexel(gl, format, data);
  const target = oneTexel(gl, format, null);
  const framebuffer = framebufferOf(gl, [{ handle: target }]);
  const program = createProgramFromSources(gl, [
    cover,
    `#version 300 es
precision highp float;
precision highp int;
${functions}
uniform highp ${sampler} t0;
out highp ${output} o0;
void main() {
  ${output} texel = texelFetch(t0, ivec2(gl_FragCoord.xy), 0);
  o0 = ${expression};
}`,
  ]);
  let result: Float32Array | Int32Array | Uint32Array | undefined;
  if (program && gl.checkFramebufferStatus(gl.FRAMEBUFFER) === gl.FRAMEBUFFER_COMPLETE) {
    cleanState(gl);
    gl.viewport(0, 0, 1, 1);
    gl.useProgram(program);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, source);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    result =
      output === "vec4"
        ? new Float32Array(lanes)
        : output === "ivec4"
          ? new Int32Array(lanes)
          : new Uint32Array(lanes);
    gl.readPixels(0, 0, 1, 1, format.format, readType(format), result);
    if (gl.getError() !== gl.NO_ERROR) result = undefined;
  }
  deleteProgram(gl, program);
  gl.deleteFramebuffer(framebuffer);
  gl.deleteTexture(source);
  gl.deleteTexture(target);
  return result;
}

/** Deletes a program and its shaders, which twgl does not delete. */
function deleteProgram(gl: WebGL2RenderingContext, program: WebGLProgram | null): void {
  if (program === null) return;
  for (const shader of gl.getAttachedShaders(program) ?? []) gl.deleteShader(shader);
  gl.deleteProgram(program);
}

/** Blends three points, 1/3, 1e-7 and 1: whether the sum equals float32 additions in order. */
function addsUp(gl: WebGL2RenderingContext): boolean {
  const target = oneTexel(gl, formats.rgba32f, new Float32Array(4));
  const framebuffer = framebufferOf(gl, [{ handle: target }]);
  const program = createProgramFromSources(gl, [
    `#version 300 es
flat out highp float value;
void main() {
  value = gl_VertexID == 0 ? 1.0 / 3.0 : gl_VertexID == 1 ? 1e-7 : 1.0;
  gl_PointSize = 1.0;
  gl_Position = vec4(0.0, 0.0, 0.0, 1.0);
}`,
    `#version 300 es
precision highp float;
flat in highp float value;
out vec4 o0;
void main() { o0 = vec4(value, 0.0, -value, 1.0); }`,
  ]);
  const result = new Float32Array(4);
  if (program) {
    cleanState(gl);
    gl.viewport(0, 0, 1, 1);
    gl.useProgram(program);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE);
    gl.drawArrays(gl.POINTS, 0, 3);
    gl.disable(gl.BLEND);
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.FLOAT, result);
  }
  const sum = Math.fround(Math.fround(Math.fround(1 / 3) + Math.fround(1e-7)) + 1);
  deleteProgram(gl, program);
  gl.deleteFramebuffer(framebuffer);
  gl.deleteTexture(target);
  return gl.getError() === gl.NO_ERROR && result.join() === [sum, 0, -sum, 3].join();
}

function oneTexel(gl: WebGL2RenderingContext, format: Format, data: ArrayBufferView | null): WebGLTexture {
  const texture = blankTexture(gl, format, 1, 1);
  if (data) {
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, 1, 1, format.format, format.type, data);
  }
  return texture;
}

/** Sets all state that the device's draws depend on, because other code may use the context as well. */
export function cleanState(gl: WebGL2RenderingContext): void {
  gl.disable(gl.BLEND);
  gl.disable(gl.DEPTH_TEST);
  gl.disable(gl.STENCIL_TEST);
  gl.disable(gl.CULL_FACE);
  gl.disable(gl.SCISSOR_TEST);
  gl.disable(gl.DITHER);
  gl.disable(gl.RASTERIZER_DISCARD);
  gl.disable(gl.SAMPLE_COVERAGE);
  gl.disable(gl.SAMPLE_ALPHA_TO_COVERAGE);
  gl.colorMask(true, true, true, true);
  gl.bindVertexArray(null);
  gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
  gl.bindBuffer(gl.PIXEL_UNPACK_BUFFER, null);
  gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
  gl.pixelStorei(gl.UNPACK_ROW_LENGTH, 0);
  gl.pixelStorei(gl.UNPACK_SKIP_ROWS, 0);
  gl.pixelStorei(gl.UNPACK_SKIP_PIXELS, 0);
  gl.pixelStorei(gl.UNPACK_FLIP_Y_WEBGL, false);
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  gl.pixelStorei(gl.PACK_ROW_LENGTH, 0);
  gl.pixelStorei(gl.PACK_SKIP_ROWS, 0);
  gl.pixelStorei(gl.PACK_SKIP_PIXELS, 0);
}
