/** Declarations for products, which read texels of two operands by coordinates (glsl/product_texels.glsl). */
import texelsChunk from "../../../../glsl/product_texels.glsl";
import { type DType, isHalf } from "../../../core/dtype.js";
import type { TextureId } from "./pass.js";
import { fetched, ofHalves, type ShaderBuilder } from "./shader.js";

/** An operand. Reads within `span` texels are simpler if the width of its texture is a multiple of `span`. */
export interface Source {
  readonly slot: TextureId;
  /** Default float32. */
  readonly dtype?: DType;
  readonly span?: number;
}

/** Includes the macros for A and B; `straight`: reads of an operand never cross rows of its texture. */
export function includeTexels(
  shader: ShaderBuilder,
  a: Source,
  b: Source,
  straight: readonly [boolean, boolean],
): void {
  [a, b].forEach(({ dtype = "float32" }, i) => {
    const name = "AB"[i];
    if (straight[i]) shader.include(`#define STRAIGHT_${name}`);
    if (!isHalf(dtype)) return;
    shader.include(`#define SAMPLER_${name} usampler2D`);
    shader.include(`#define toFloats${name}(x) ${ofHalves(shader, "widen", dtype, "ivec4(x)")}`);
  });
  shader.include(texelsChunk);
}

/** Declares the uniforms of the macros for A and B. @returns the samplers of A and B. */
export function declareTexels(shader: ShaderBuilder, a: Source, b: Source): readonly [string, string] {
  const isStraight = ({ slot, span }: Source) => span !== undefined && 2 ** shader.shift(slot) % span === 0;
  includeTexels(shader, a, b, [isStraight(a), isStraight(b)]);
  const [x, y] = [a, b].map(({ slot, dtype = "float32" }) => shader.sampler(slot, dtype));
  shader.add(
    // Uniforms, so that textures of all widths share a program.
    `int shiftA = ${shader.int(shader.shift(a.slot))}, shiftB = ${shader.int(shader.shift(b.slot))};`,
    "int maskA = (1 << shiftA) - 1, maskB = (1 << shiftB) - 1;",
    `vec2 scaleA = texelSize(${x}), scaleB = texelSize(${y});`,
  );
  return [x, y];
}

/** GLSL for texel `at` of an operand, by its number. */
export function texelOf(shader: ShaderBuilder, { slot, dtype = "float32" }: Source, at: string): string {
  return fetched(shader, dtype, (kind) => `${kind}Texel(${shader.texture(slot, dtype)}, ${at})`);
}
