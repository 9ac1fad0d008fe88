/** How shaders store the texels of outputs, of which some may be outside of what is computed. */
import type { Operand } from "../../../kernels/kernel.js";
import type { TextureId } from "./pass.js";
import { type ShaderBuilder, texelHere, vectorOf } from "./shader.js";
import type { Walk, WalkNames } from "./walk.js";

/** Stores `value` where the walk is inside the output, and what is there already elsewhere. */
export function storeInside(
  shader: ShaderBuilder,
  quad: Walk["quad"],
  inside: WalkNames["inside"],
  { slot, dtype }: Operand,
  target: TextureId,
  value: string,
): void {
  if (inside === undefined) {
    shader.store(target, dtype, value);
    return;
  }
  const old = texelHere(shader, slot, dtype);
  const result = `kept${shader.outputCount}`;
  shader.add(`${vectorOf(dtype)} ${result} = ${value};`);
  shader.add(
    quad ? `if (!${inside}) ${result} = ${old};` : `${result} = select(${inside}, ${result}, ${old});`,
  );
  shader.store(target, dtype, result);
}
