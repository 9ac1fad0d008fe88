/** How shaders store the texels of outputs, of which some may be outside of what is computed. */
import type { Operand } from "../../../kernels/kernel.js";
import type { Iteration, IterationNames } from "./iteration.js";
import type { TextureId } from "./pass.js";
import { type ShaderBuilder, texelHere, vectorOf } from "./shader.js";

/** Stores `value` where the iteration is inside the output, and what is there already elsewhere. */
export function storeInside(
  shader: ShaderBuilder,
  quad: Iteration["quad"],
  inside: IterationNames["inside"],
  { slot, dtype }: Operand,
  target: TextureId,
  value: string,
): void {
  if (inside === undefined) {
    shader.store(target, dtype, value);
    return;
  }
  const old = texelHere(shader, slot, dtype);
  const result = `stored${shader.outputCount}`;
  shader.add(`${vectorOf(dtype)} ${result} = ${value};`);
  shader.add(
    quad ? `if (!${inside}) ${result} = ${old};` : `${result} = select(${inside}, ${result}, ${old});`,
  );
  shader.store(target, dtype, result);
}
