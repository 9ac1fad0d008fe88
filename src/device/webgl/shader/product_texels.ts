/** What shaders of products declare to read texels of two operands by their coordinates (glsl/product_texels.glsl). */
import texelsChunk from "../../../../glsl/product_texels.glsl";
import type { TextureId } from "./pass.js";
import type { ShaderBuilder } from "./shader.js";

/** An operand; reads that stay within `span` texels are simpler where lines of its texture are a multiple of that. */
export interface Source {
  readonly slot: TextureId;
  readonly span?: number;
}

/** Declares what the macros for A and B need. @returns the samplers of A and B. */
export function declareTexels(shader: ShaderBuilder, a: Source, b: Source): readonly [string, string] {
  const isStraight = ({ slot, span }: Source) => span !== undefined && 2 ** shader.shift(slot) % span === 0;
  if (isStraight(a)) shader.include("#define STRAIGHT_A");
  if (isStraight(b)) shader.include("#define STRAIGHT_B");
  shader.include(texelsChunk);
  const [x, y] = [a, b].map(({ slot }) => shader.sampler(slot, "float32"));
  shader.add(
    // Uniforms: operands on lines of all widths share a program.
    `int shiftA = ${shader.int(shader.shift(a.slot))}, shiftB = ${shader.int(shader.shift(b.slot))};`,
    "int maskA = (1 << shiftA) - 1, maskB = (1 << shiftB) - 1;",
    `vec2 scaleA = texelSize(${x}), scaleB = texelSize(${y});`,
  );
  return [x, y];
}
