/** GLSL that stores texels of outputs, which may be partly outside the computed elements. */
import type { Operand } from "../../../kernels/kernel.js";
import type { Iteration, IterationNames } from "./iteration.js";
import type { TextureId } from "./pass.js";
import { type ShaderBuilder, texelHere, vectorOf } from "./shader.js";

/** Stores `value` for elements inside the output and the old value for all others. */
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
