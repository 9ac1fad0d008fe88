/**
 * Builds a fragment shader and the values of its uniforms. Sizes, strides, offsets and constants are entries of one uniform array, so that
 * calls of the same structure have the same source text and share one program.
 */
import cover from "../../../../glsl/cover.vert.glsl";
import coverGuarded from "../../../../glsl/cover_guarded.vert.glsl";
import fetch from "../../../../glsl/fetch.glsl";
import halves from "../../../../glsl/halves.glsl";
import select from "../../../../glsl/select.glsl";
import { type DType, type HalfDType, isFloat, isHalf } from "../../../core/dtype.js";
import { halfChunk } from "../gl/half.js";
import {
  type Extent,
  type FloatStorage,
  type Format,
  formatOf,
  type RenderTargetLayout,
  type TextureLayout,
} from "../gl/storage.js";
import { flagTexture, type Pass, type ScalarUse, type TextureId } from "./pass.js";

/** Properties of a device that all its shaders depend on. */
export interface ShaderTarget {
  readonly floats: FloatStorage;
  /** Storage of partial sums and other values that must not be rounded to halves; equal to `floats` unless that is rgba16f. */
  readonly fullFloats: FloatStorage;
  /** Bits of the float32 that becomes infinite in rgba16f. */
  readonly halfInfinity: number | undefined;
  readonly layout: TextureLayout;
  /** Render targets per draw. */
  readonly drawBuffers: number;
  /** Number of fragments that keep the device busy: passes with fewer split their sums. */
  readonly fragments: number;
  /** Largest width and height of a render target. */
  readonly extent: number;
}

/** Properties of textures that shaders depend on. */
export interface TextureFacts {
  formatOf(id: TextureId): Format;
  /** Elements. */
  sizeOf(id: TextureId): number;
}

/** The GLSL type in which four elements of a dtype are computed. */
export function vectorOf(dtype: DType): "vec4" | "ivec4" {
  return isFloat(dtype) ? "vec4" : "ivec4";
}

const halfNames = { float16: "Binary16", bfloat16: "Bfloat16" } as const;

/** GLSL of a function on halves, `widenBinary16` for example (glsl/halves.glsl). */
export function ofHalves(
  shader: ShaderBuilder,
  verb: "widen" | "narrow" | "roundTo",
  dtype: HalfDType,
  value: string,
): string {
  shader.include(halves);
  return `${verb}${halfNames[dtype]}(${value})`;
}

/** GLSL for elements fetched by one of `fetch.glsl`'s functions: `(kind) => "${kind}Texel(…)"`. Halves are widened. */
export function fetched(
  shader: ShaderBuilder,
  dtype: DType,
  code: (kind: "float" | "int") => string,
): string {
  if (isHalf(dtype)) return ofHalves(shader, "widen", dtype, code("int"));
  return code(dtype === "float32" ? "float" : "int");
}

export interface PassShape {
  readonly name: string;
  readonly texels: number;
  readonly flops: number;
  readonly range?: readonly [number, number];
  /** Layout of the output, if it is not a buffer. */
  readonly targetLayout?: Extent | RenderTargetLayout;
}

/** GLSL for the texel of a buffer at the position of the texel that is computed. */
export function texelHere(shader: ShaderBuilder, id: TextureId, dtype: DType): string {
  return fetched(shader, dtype, (kind) => `${kind}Here(${shader.sampler(id, dtype)})`);
}

const bits = new DataView(new ArrayBuffer(4));

function bitsOf(value: number): number {
  bits.setFloat32(0, value);
  return bits.getInt32(0);
}

export class ShaderBuilder {
  private readonly values: number[] = [];
  private readonly known = new Map<string, string>();
  private readonly scalars: ScalarUse[] = [];
  private readonly textures: TextureId[] = [];
  private readonly outputs: TextureId[] = [];
  private readonly chunks = new Set<string>([select]);
  private readonly declarations: string[] = [];
  private readonly statements: string[] = [];
  private readonly stores: string[] = [];
  private blocks = 0;
  private scope = "";
  private vertex = cover;

  constructor(
    readonly target: ShaderTarget,
    private readonly facts: TextureFacts,
  ) {}

  /** A uniform int. */
  int(value: number): string {
    return this.parameter(value, `i${this.values.length}`);
  }

  /** A uniform int; equal values of equal meaning share one entry. The meaning must be part of the structure. */
  shared(meaning: string, value: number): string {
    return this.parameter(value, `${this.scope}${meaning}`);
  }

  /** A uniform float; any bits. */
  float(value: number): string {
    return `intBitsToFloat(${this.parameter(bitsOf(value), `f${this.values.length}`)})`;
  }

  /** Runtime scalar `index` of the Program. */
  scalar(index: number, dtype: DType): string {
    const integer = dtype !== "float32";
    let at = this.scalars.findIndex((use) => use.index === index && use.integer === integer);
    if (at < 0) at = this.scalars.push({ index, integer }) - 1;
    const word = `s[${at >> 2}].${"xyzw"[at & 3]}`;
    return integer ? word : `intBitsToFloat(${word})`;
  }

  /** GLSL arguments for a buffer's texture: the sampler, and log2 of its width. */
  texture(id: TextureId, dtype: DType): string {
    return `${this.sampler(id, dtype)}, ${this.shift(id)}`;
  }

  /** log2 of the width of a buffer's texture. */
  shift(id: TextureId): number {
    const { layout } = this.target;
    return layout.shiftFor(layout.texels(this.facts.sizeOf(id)));
  }

  /** The name of a sampler for a texture; one sampler per texture. */
  sampler(id: TextureId, dtype: DType): string {
    return this.samplerOf(id, dtype === "float32" ? "FLOAT_SAMPLER" : this.facts.formatOf(id).sampler);
  }

  /** The name of a sampler for all layers of a texture array. */
  layers(id: TextureId): string {
    return this.samplerOf(id, "FLOAT_LAYERS");
  }

  get textureCount(): number {
    return this.textures.length;
  }

  /** Whether a texture is among the samplers. */
  samples(id: TextureId): boolean {
    return this.textures.includes(id);
  }

  get outputCount(): number {
    return this.stores.length;
  }

  include(chunk: string): void {
    this.chunks.add(chunk);
  }

  /** Adds statements to main. `t` is the number of the texel to compute, `e` that of its first element. */
  add(...lines: string[]): void {
    this.statements.push(...lines);
  }

  /**
   * Adds the statements of `emit` in a block with its own scope. Returns the name of a variable outside, with the value whose name `emit`
   * returns.
   */
  block(type: "vec4" | "ivec4", emit: () => string): string {
    const result = `block${this.blocks++}`;
    const { scope } = this;
    this.scope = `${result} `;
    this.add(`${type} ${result};`, "{");
    this.add(`${result} = ${emit()};`, "}");
    this.scope = scope;
    return result;
  }

  /** GLSL that is true if the run has failed; evaluated per vertex, so that it costs fragments nothing. */
  failed(): string {
    if (this.vertex === cover) {
      const at = this.textures.push(flagTexture) - 1;
      this.vertex = coverGuarded.replaceAll("FLAG", `t${at}`);
      this.declarations.push("flat in highp int failed;");
    }
    return "failed != 0";
  }

  /** The same for the vertices of points. */
  failedAtVertex(): string {
    const flag = this.samplerOf(flagTexture, "isampler2D");
    this.add(
      "int failed = 0;",
      `for (int i = 0; i < textureSize(${flag}, 0).x; i++) failed |= texelFetch(${flag}, ivec2(i, 0), 0).x;`,
    );
    return "failed != 0";
  }

  /** Adds a render target, to which main stores the vector `value` at its end. */
  store(id: TextureId, dtype: DType, value: string): void {
    this.outputs.push(id);
    this.addTarget(this.facts.formatOf(id), dtype, value);
  }

  /** Adds render targets for the layers of a texture array, to which main stores the vec4 `values`. */
  storeLayers(id: TextureId, values: readonly string[]): void {
    this.outputs.push(id);
    for (const value of values) this.addTarget(this.facts.formatOf(id), "float32", value);
  }

  build({ name, texels, flops, range, targetLayout }: PassShape): Pass {
    // A uniform, so that outputs of all widths share a program.
    const width = this.int(targetLayout?.width ?? this.target.layout.widthFor(texels));
    return {
      name,
      vertex: this.vertex,
      fragment: this.text(`
void main() {
  int t = int(gl_FragCoord.y) * ${width} + int(gl_FragCoord.x);
  int e = t << 2;
${indent([...this.statements, ...this.stores])}
}
`),
      textures: this.textures,
      outputs: this.outputs,
      parameters: wholeVectors(this.values),
      scalars: this.scalars,
      texels,
      flops,
      range,
      targetLayout,
    };
  }

  /**
   * A pass that draws `count` points of one texel. The statements added so far set gl_Position from gl_VertexID, and `sent`, the colour, a
   * value of type `vector`.
   */
  buildPoints(
    shape: PassShape,
    count: number,
    vector: "vec4" | "ivec4",
    outputs: readonly TextureId[],
    integers: Format["output"] = "ivec4",
  ): Pass {
    const output = vector === "vec4" ? "FLOAT_OUTPUT" : integers;
    const colour = vector === "vec4" ? "fromFloats(sent)" : `${integers}(sent)`;
    const head = `#define FLOAT_OUTPUT ${formatOf("float32", this.target.floats).output}`;
    const convert = this.target.floats === "rgba32ui" ? "floatBitsToUint(x)" : "(x)";
    return {
      name: shape.name,
      vertex: this.text(`
flat out highp ${vector} sent;
void main() {
  gl_PointSize = 1.0;
${indent(this.statements)}
}
`),
      fragment: [
        prelude(this.target),
        head,
        `#define fromFloats(x) ${convert}`,
        `flat in highp ${vector} sent;`,
        `layout(location = 0) out highp ${output} o0;`,
        `void main() { o0 = ${colour}; }`,
      ].join("\n"),
      textures: this.textures,
      outputs,
      parameters: wholeVectors(this.values),
      scalars: this.scalars,
      texels: shape.texels,
      flops: shape.flops,
      points: count,
    };
  }

  private samplerOf(id: TextureId, type: string): string {
    let at = this.textures.indexOf(id);
    if (at < 0) {
      at = this.textures.push(id) - 1;
      this.declarations.push(`uniform highp ${type} t${at};`);
    }
    return `t${at}`;
  }

  private addTarget({ name, output }: Format, dtype: DType, value: string): void {
    const isRounded = name === "rgba16f";
    if (isRounded) this.include(halfChunk(this.target.halfInfinity!));
    const rounded = isRounded ? `roundToHalf(${value})` : value;
    const bits = isHalf(dtype) ? ofHalves(this, "narrow", dtype, value) : value;
    const [type, stored] =
      dtype === "float32" ? ["FLOAT_OUTPUT", `fromFloats(${rounded})`] : [output, `${output}(${bits})`];
    const at = this.stores.length;
    this.declarations.push(`layout(location = ${at}) out highp ${type} o${at};`);
    this.stores.push(`o${at} = ${stored};`);
  }

  private parameter(value: number, meaning: string): string {
    const before = this.known.get(meaning);
    if (before !== undefined) return before;
    const at = this.values.push(value) - 1;
    const name = `p[${at >> 2}].${"xyzw"[at & 3]}`;
    this.known.set(meaning, name);
    return name;
  }

  private text(main: string): string {
    const arrays = [];
    if (this.values.length > 0) arrays.push(`uniform ivec4 p[${Math.ceil(this.values.length / 4)}];`);
    if (this.scalars.length > 0) arrays.push(`uniform ivec4 s[${Math.ceil(this.scalars.length / 4)}];`);
    return [prelude(this.target), fetch, ...this.chunks, ...arrays, ...this.declarations, main].join("\n");
  }
}

/** Version, precision and the constants of the device. */
export function prelude({ floats }: Pick<ShaderTarget, "floats">): string {
  return [
    "#version 300 es",
    "precision highp float;",
    "precision highp int;",
    "precision highp sampler2D;",
    "precision highp isampler2D;",
    "precision highp usampler2D;",
    "precision highp sampler2DArray;",
    "precision highp usampler2DArray;",
    ...(floats === "rgba32ui" ? ["#define FLOAT_BITS"] : []),
  ].join("\n");
}

function wholeVectors(values: readonly number[]): Int32Array {
  const result = new Int32Array(Math.ceil(values.length / 4) * 4);
  result.set(values);
  return result;
}

function indent(lines: readonly string[]): string {
  return lines.map((line) => `  ${line}`).join("\n");
}
