/** The second pass of quantized products: adds the partial sums of the tiles, dequantizes and writes them to the output. */
import type { Operand } from "../../../kernels/kernel.js";
import type { Extent } from "../gl/storage.js";
import type { PassBuilder } from "../shader/builder.js";
import {
  declareIteration,
  type Iteration,
  type IterationNames,
  operandPosition,
  planIteration,
  type Steps,
} from "../shader/iteration.js";
import type { TextureId } from "../shader/pass.js";
import type { Emitted } from "../shader/result.js";
import type { ShaderBuilder } from "../shader/shader.js";
import { type Dequantization, dequantized } from "./quantized_values.js";

/**
 * Sums in render targets: render target (r · halves + h) has row r of half panel h of all tiles, in rows of the render target's width; the splits are below each
 * other, with equal numbers of rows.
 */
export interface TileSums {
  readonly parts: readonly TextureId[];
  readonly targetLayout: Extent;
  readonly splits: number;
  readonly rowTiles: number;
  readonly columnTiles: number;
  readonly halves: number;
  readonly isInteger: boolean;
}

/** Position of an output element among the sums: strides of its matrix, row and column along the output's dimensions. */
export interface SumSteps {
  readonly matrix: Steps;
  readonly row: Steps;
  readonly column: Steps;
}

/** Dequantizes the sums and writes them to `output`. */
export function mergeSums(
  sums: TileSums,
  output: Operand,
  { matrix, row, column }: SumSteps,
  dequantization: Dequantization,
  builder: PassBuilder,
): void {
  const slotSize = builder.sizeOf(output.slot);
  const steps = [matrix, row, column, ...dequantization.operands.map((operand) => operand.steps)];
  const planned = planIteration(output.view, slotSize, steps);
  // Texels of the output are texels of a render target if they lie along the columns.
  const quad = planned.quad && planned.operands[2].strides.at(-1) === 1;
  const iteration = { ...planned, quad };
  const emit = (shader: ShaderBuilder): Emitted => {
    const names = declareIteration(shader, iteration);
    addSum(shader, sums, iteration, names);
    const value = dequantized(shader, iteration, names, dequantization, iteration.operands.slice(3), "sum");
    return { value, quad, inside: names.inside };
  };
  const flops = slotSize * sums.splits;
  builder.defer({ name: "quantized merge", output, whole: iteration.full, flops, emit });
}

/** Adds statements that declare `sum`, whose matrix, row and column are the first operands of the iteration. */
function addSum(
  shader: ShaderBuilder,
  { parts, targetLayout, splits, rowTiles, columnTiles, halves, isInteger }: TileSums,
  iteration: Iteration,
  names: IterationNames,
): void {
  const [matrixAt, rowAt, columnAt] = iteration.operands;
  const at = (operand: Steps) => operandPosition(shader, iteration, names, operand);
  const { type } = names;
  shader.add(
    `${type} row = ${at(rowAt)};`,
    `${type} column = ${at(columnAt)};`,
    `${type} place = (${at(matrixAt)}) * ${shader.int(rowTiles)} + (row >> 2);`,
    `place = place * ${shader.int(columnTiles)} + (column >> ${2 + Math.log2(halves)});`,
    `${type} which = (row & 3) * ${halves} + (column >> 2 & ${halves - 1});`,
    isInteger ? "ivec4 sum = ivec4(0);" : "vec4 sum = vec4(0.0);",
    `int width = ${shader.int(targetLayout.width)};`,
    `${type} down = quotient(place, width);`,
    `${type} across = place - down * width;`,
    `int splits = ${shader.int(splits)};`,
    "for (int i = 0; i < splits; i++) {",
  );
  const samplers = parts.map((part) => shader.sampler(part, isInteger ? "int32" : "float32"));
  // As branches, so that only one sampler is fetched.
  const add = (sum: string, which: string, from: (sampler: string) => string) => {
    samplers.forEach((sampler, part) => {
      const last = part === samplers.length - 1;
      shader.add(
        `${part === 0 ? "" : "else "}${last ? "" : `if (${which} == ${part}) `}${sum} += ${from(sampler)};`,
      );
    });
  };
  const fetched = (at: string) => (sampler: string) =>
    isInteger ? `texelFetch(${sampler}, ${at}, 0)` : `toFloats(texelFetch(${sampler}, ${at}, 0))`;
  if (iteration.quad) add("sum", "which", fetched("ivec2(across, down)"));
  else {
    shader.add("for (int j = 0; j < 4; j++) {");
    const lane = fetched("ivec2(across[j], down[j])");
    add("sum[j]", "which[j]", (sampler) => `${lane(sampler)}[column[j] & 3]`);
    shader.add("}");
  }
  shader.add(`down += ${shader.int(targetLayout.height / splits)};`, "}");
}
