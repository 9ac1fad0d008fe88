/**
 * Strided iteration: the index arithmetic of all generated shaders, from a texel of the output to its indices and to the position of each
 * operand's element.
 *
 * The iteration is in the memory order of the output, with dimensions coalesced where one stride covers both in every operand. If the four
 * elements of each texel are neighbours along the last dimension (`quad`), they share one index and operands are fetched by texels;
 * otherwise each lane has its own index.
 */
import type { Shape } from "../../../core/shape.js";
import { sizeOf } from "../../../core/shape.js";
import { memoryOrder, type View } from "../../../core/view.js";
import { lanes } from "../gl/storage.js";
import type { ShaderBuilder } from "./shader.js";

/** Strides and offset of an operand over the dimensions of an iteration. */
export interface Steps {
  readonly strides: readonly number[];
  readonly offset: number;
}

export interface Iteration {
  readonly extents: Shape;
  readonly output: Steps;
  readonly operands: readonly Steps[];
  /** The output's elements are contiguous from its offset on. */
  readonly dense: boolean;
  /** The output fills its whole slot. */
  readonly full: boolean;
  readonly quad: boolean;
  readonly size: number;
}

/** Plans the iteration over `output`; `operands` have its shape. `slotSize` is that of the output's slot. */
export function planIteration(output: View, slotSize: number, operands: readonly Steps[]): Iteration {
  const order = memoryOrder(output).filter((d) => output.shape[d] !== 1);
  const flipped = order.map((d) => output.strides[d] < 0);
  const along = ({ strides, offset }: Steps): { strides: number[]; offset: number } => ({
    strides: order.map((d, i) => (flipped[i] ? -strides[d] : strides[d])),
    offset: order.reduce(
      (sum, d, i) => (flipped[i] ? sum + (output.shape[d] - 1) * strides[d] : sum),
      offset,
    ),
  });
  const extents = order.map((d) => output.shape[d]);
  const all = [along(output), ...operands.map(along)];
  for (let d = extents.length - 2; d >= 0; d--) {
    if (!all.every(({ strides }) => strides[d] === strides[d + 1] * extents[d + 1])) continue;
    extents.splice(d, 2, extents[d] * extents[d + 1]);
    for (const { strides } of all) strides.splice(d, 1);
  }
  if (extents.length === 0) {
    // At least one dimension, also for a single element.
    extents.push(1);
    all.forEach(({ strides }, i) => {
      strides.push(i === 0 ? 1 : 0);
    });
  }
  const [to, ...rest] = all;
  const size = sizeOf(extents);
  const dense = isDenseRowMajor(extents, to.strides);
  const full = dense && to.offset === 0 && size === slotSize;
  return { extents, output: to, operands: rest, dense, full, quad: isQuad(extents, to, full), size };
}

/** Whether the strides are those of dense row-major memory. */
export function isDenseRowMajor(extents: readonly number[], strides: readonly number[]): boolean {
  let step = 1;
  for (let d = extents.length - 1; d >= 0; d--) {
    if (extents[d] !== 1 && strides[d] !== step) return false;
    step *= extents[d];
  }
  return true;
}

/** Whether each texel is entirely inside or outside the output, and its elements differ in the last index only. */
function isQuad(extents: Shape, { strides, offset }: Steps, full: boolean): boolean {
  const last = extents.length - 1;
  if (full && last === 0) return true;
  if (last < 0 || strides[last] !== 1 || offset % lanes !== 0) return false;
  return extents[last] % lanes === 0 && strides.every((stride, d) => d === last || stride % lanes === 0);
}

/** How the four elements of an operand at one texel of a quad iteration are fetched. */
export type Access = "texel" | "scalar" | "strided";

export function accessOf({ strides, offset }: Steps): Access {
  const last = strides.length - 1;
  if (strides.every((stride) => stride === 0)) return "scalar";
  if (last < 0 || strides[last] === 0) return "scalar";
  const aligned = offset % lanes === 0 && strides.every((stride, d) => d === last || stride % lanes === 0);
  return strides[last] === 1 && aligned ? "texel" : "strided";
}

/** GLSL names declared by `declareIteration`. */
export interface IterationNames {
  /** int for a quad iteration, ivec4 otherwise. */
  readonly type: "int" | "ivec4";
  /** The index along each dimension of the iteration. */
  readonly indices: readonly string[];
  /** The position within a dense output. */
  readonly linear: string | undefined;
  /** Whether the element belongs to the output: bool or bvec4; undefined if all do. */
  readonly inside: string | undefined;
}

/** Declares the indices of the texel's elements; `element` is the number of the first. */
export function declareIteration(shader: ShaderBuilder, iteration: Iteration, element = "e"): IterationNames {
  const { extents, output, dense, full, quad, size } = iteration;
  const type = quad ? "int" : "ivec4";
  const own = quad ? element : `(${element} + ivec4(0, 1, 2, 3))`;
  const from = full ? own : `${own} - ${shader.int(output.offset)}`;
  const indices = extents.map((_, d) => `i${d}`);
  shader.add(`${type} linear = ${from};`);
  if (dense) {
    splitIndex(shader, type, "linear", extents, "i");
    const inside = full ? undefined : insideRange(shader, quad, size);
    return { type, indices, linear: "linear", inside };
  }
  // Strides are sorted and do not overlap: each index is the quotient by its stride.
  shader.add(`${type} rest = linear;`);
  const checks = [quad ? "linear >= 0" : "greaterThanEqual(linear, ivec4(0))"];
  extents.forEach((extent, d) => {
    if (output.strides[d] === 1) shader.add(`${type} i${d} = rest;`, "rest -= rest;");
    else {
      const stride = shader.int(output.strides[d]);
      shader.add(`${type} i${d} = quotient(rest, ${stride});`, `rest -= i${d} * ${stride};`);
    }
    const bound = shader.int(extent);
    checks.push(quad ? `i${d} < ${bound}` : `lessThan(i${d}, ivec4(${bound}))`);
  });
  checks.push(quad ? "rest == 0" : "equal(rest, ivec4(0))");
  const combined = quad ? checks.join(" && ") : checks.reduce((a, b) => `both(${a}, ${b})`);
  shader.add(`${quad ? "bool" : "bvec4"} inside = ${combined};`);
  return { type, indices, linear: undefined, inside: "inside" };
}

function insideRange(shader: ShaderBuilder, quad: boolean, size: number): string {
  const bound = shader.int(size);
  shader.add(
    quad
      ? `bool inside = linear >= 0 && linear < ${bound};`
      : `bvec4 inside = both(greaterThanEqual(linear, ivec4(0)), lessThan(linear, ivec4(${bound})));`,
  );
  return "inside";
}

/** Declares the indices `${prefix}0`, `${prefix}1`, … of position `linear` in a row-major shape. */
export function splitIndex(
  shader: ShaderBuilder,
  type: "int" | "ivec4",
  linear: string,
  extents: Shape,
  prefix: string,
): void {
  let rest = linear;
  for (let d = extents.length - 1; d >= 0; d--) {
    if (d === 0) {
      shader.add(`${type} ${prefix}0 = ${rest};`);
      continue;
    }
    const extent = shader.shared(`extent ${prefix}${d}`, extents[d]);
    const quotient = `${prefix}Over${d}`;
    shader.add(`${type} ${quotient} = quotient(${rest}, ${extent});`);
    shader.add(`${type} ${prefix}${d} = ${rest} - ${quotient} * ${extent};`);
    rest = quotient;
  }
}

/**
 * GLSL for offset + Σ index · stride; terms with stride 0 are left out.
 * @param general multiplies by strides of 1 as well, so that other strides share the program.
 */
export function positionOf(
  shader: ShaderBuilder,
  { strides, offset }: Steps,
  indices: readonly string[],
  type: "int" | "ivec4",
  general = false,
): string {
  const terms = [type === "int" ? shader.int(offset) : `ivec4(${shader.int(offset)})`];
  strides.forEach((stride, d) => {
    if (stride === 1 && !general) terms.push(indices[d]);
    else if (stride !== 0) terms.push(`${indices[d]} * ${shader.int(stride)}`);
  });
  return terms.join(" + ");
}

/** positionOf for an operand of an iteration; reuses the iteration's own position if equal. */
export function operandPosition(
  shader: ShaderBuilder,
  iteration: Iteration,
  names: IterationNames,
  operand: Steps,
  general = false,
): string {
  if (names.linear !== undefined && isDenseRowMajor(iteration.extents, operand.strides)) {
    return operand.offset === 0 ? names.linear : `${names.linear} + ${shader.int(operand.offset)}`;
  }
  return positionOf(shader, operand, names.indices, names.type, general);
}
