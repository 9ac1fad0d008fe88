/** The mask of attention, as the shaders of its rows and tiles read it. */
import type { Operand } from "../../../kernels/kernel.js";
import type { ShaderBuilder } from "./shader.js";

/** Adds the mask at the elements `at`, an ivec4 of keys, of its row that begins at `firstMask`. */
export function maskStatement(mask: Operand, shader: ShaderBuilder): string {
  const sampler = shader.texture(mask.slot, mask.dtype);
  const at = `ivec4(firstMask) + at * ${shader.int(mask.view.strides.at(-1)!)}`;
  if (mask.dtype === "float32") return `score += floatsAt(${sampler}, ${at});`;
  return `score = select(equal(intsAt(${sampler}, ${at}), ivec4(0)), -infinity(), score);`;
}
