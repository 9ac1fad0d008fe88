/** Reading one of the four grids into which tiles were drawn. */
import type { ShaderBuilder } from "./shader.js";

/** Statements: `to` becomes element `from` of grid number `part`; `gridWidth` is declared before. */
export function pickPart(
  shader: ShaderBuilder,
  samplers: readonly string[],
  to: string,
  from: string,
  part: string,
): void {
  samplers.forEach((sampler, j) => {
    shader.add(
      `${j === 0 ? "" : "else "}${j === 3 ? "" : `if (${part} == ${j}) `}${to} = gridTexel(${sampler}, ${from} >> 2, gridWidth)[${from} & 3];`,
    );
  });
}
