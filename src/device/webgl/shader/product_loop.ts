/**
 * The loop over k of a product's tile: `rows` rows × four columns, four k at a time, 16 · rows products for rows + 4 fetches. Each
 * operand may be row-major or column-major; a texel has four elements of a row or of a column.
 */

import type { DType } from "../../../core/dtype.js";
import { lanes } from "../gl/storage.js";
import type { TextureId } from "./pass.js";
import { declareTexels, texelOf } from "./product_texels.js";
import type { ShaderBuilder } from "./shader.js";

/** Direction of an operand's texels: along its rows (four elements of one row), or along its columns. */
export type Order = "rows" | "columns";

/** An operand as the tile reads it. */
export interface Side {
  readonly order: Order;
  readonly slot: TextureId;
  /** Default float32. */
  readonly dtype?: DType;
  /** GLSL for the texel of the tile's first row (of A) or of its columns (of B) at k = 0, and texels from line to line. */
  readonly first: string;
  readonly step: string;
}

export interface Range {
  /** Quads of k: names of ints. */
  readonly from: string;
  readonly to: string;
  /** The number of quads is even, whatever the range. */
  readonly even: boolean;
  /** Number of k after the last quad, 0 to 3; they belong to the range in which `split` is `last`. */
  readonly rest: number;
  readonly split: string;
  readonly last: number;
}

/**
 * Adds the statements that sum the products of the range into `s0` … of the tile's rows.
 * @returns the names of the sums.
 */
export function addTileSums(shader: ShaderBuilder, rows: number, a: Side, b: Side, range: Range): string[] {
  const sums = Array.from({ length: rows }, (_, i) => `s${i}`);
  shader.add(
    ...sums.map((sum) => `vec4 ${sum} = vec4(0.0);`),
    `int firstA = ${a.first};`,
    `int firstB = ${b.first};`,
    `int stepA = ${a.step};`,
    `int stepB = ${b.step};`,
  );
  // Without spans: they would save 5 % of the time, but make up to four programs of each loop.
  const samplers = declareTexels(shader, a, b);
  if (a.order === "rows") {
    shader.add(...sums.map((_, i) => `vec2 row${i} = lineA(firstA + ${i} * stepA);`));
  }
  if (b.order === "columns") {
    for (let j = 0; j < lanes; j++) shader.add(`vec2 column${j} = lineB(firstB + ${j} * stepB);`);
  }
  const steps = "vec4(0.0, 1.0, 2.0, 3.0)";
  if (a.order === "columns") shader.add(`vec4 stepsA = ${steps} * (float(stepA) * scaleA.x);`);
  if (b.order === "rows") shader.add(`vec4 stepsB = ${steps} * (float(stepB) * scaleB.x);`);
  // Unrolled twice: SwiftShader copies all sums between iterations, and two quads per iteration save an eighth of its time.
  const turns = range.even ? ["q", "q + 1"] : ["q"];
  shader.add(`for (int q = ${range.from}; q < ${range.to}; q += ${turns.length}) {`);
  for (const quad of turns) shader.add("{", `int k = ${quad};`, ...quadSums(sums, a, b, samplers), "}");
  shader.add("}");
  // Other orders have no rest. A loop without iterations costs less than a separate program.
  if (a.order === "columns" && b.order === "rows") addRest(shader, sums, a, b, range);
  return sums;
}

/** Adds the products of quad `k`. */
function quadSums(sums: readonly string[], a: Side, b: Side, [x, y]: readonly [string, string]): string[] {
  const four = (texel: (i: number) => string) => [0, 1, 2, 3].map(texel).join(", ");
  const statements: string[] = [];
  if (b.order === "rows") {
    statements.push("vec2 lineOfB = lineB(firstB + 4 * k * stepB);");
    statements.push(`mat4 y = mat4(${four((j) => `texelB(${y}, lineOfB, stepsB[${j}])`)});`);
  } else {
    statements.push("float alongB = float(k) * scaleB.x;");
    statements.push(`mat4 y = mat4(${four((j) => `texelB(${y}, column${j}, alongB)`)});`);
  }
  if (a.order === "columns") statements.push("vec2 lineOfA = lineA(firstA + 4 * k * stepA);");
  else statements.push("float alongA = float(k) * scaleA.x;");
  // Columns of y are rows of B (y * x), or columns of B (x * y: the dot products with the columns).
  const product = (x: string) => (b.order === "rows" ? `y * ${x}` : `${x} * y`);
  sums.forEach((sum, i) => {
    if (a.order === "rows") {
      statements.push(`${sum} += ${product(`texelA(${x}, row${i}, alongA)`)};`);
      return;
    }
    const group = Math.floor(i / lanes);
    if (i % lanes === 0) {
      const texels = four((j) => `texelA(${x}, lineOfA, stepsA[${j}] + ${group}.0 * scaleA.x)`);
      statements.push(`mat4 x${group} = transpose(mat4(${texels}));`);
    }
    statements.push(`${sum} += ${product(`x${group}[${i % lanes}]`)};`);
  });
  return statements;
}

/** Adds the rest of k, one by one, if A is column-major and B row-major. */
function addRest(
  shader: ShaderBuilder,
  sums: readonly string[],
  a: Side,
  b: Side,
  { to, rest, split, last }: Range,
): void {
  shader.add(
    `if (${split} == ${shader.int(last)}) {`,
    `for (int k = 4 * ${to}; k < 4 * ${to} + ${shader.int(rest)}; k++) {`,
    `vec4 y = ${texelOf(shader, b, "firstB + k * stepB")};`,
  );
  for (let group = 0; group * lanes < sums.length; group++) {
    shader.add(`vec4 x${group} = ${texelOf(shader, a, `firstA + k * stepA + ${group}`)};`);
  }
  sums.forEach((sum, i) => {
    shader.add(`${sum} += x${Math.floor(i / lanes)}[${i % lanes}] * y;`);
  });
  shader.add("}", "}");
}
