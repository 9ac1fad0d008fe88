/** GLSL that applies the mask of attention, for rows and tiles. */
import type { Operand } from "../../../kernels/kernel.js";
import type { ShaderBuilder } from "./shader.js";

/** GLSL that applies the mask to `score`, at the keys `at` (ivec4) of the mask's row that starts at element `firstMask`. */
export function maskStatement(mask: Operand, shader: ShaderBuilder): string {
  const sampler = shader.texture(mask.slot, mask.dtype);
  const at = `ivec4(firstMask) + at * ${shader.int(mask.view.strides.at(-1)!)}`;
  if (mask.dtype === "float32") return `score += floatsAt(${sampler}, ${at});`;
  return `score = select(equal(intsAt(${sampler}, ${at}), ivec4(0)), -infinity(), score);`;
}
