/** The loops over k of products with packed weights, as GLSL: integers in blocks that floats add up exactly. */

import { lanes } from "../gl/storage.js";
import type { PassBuilder } from "../shader/builder.js";
import type { ShaderBuilder } from "../shader/shader.js";
import { denseScales, type QuantizedFactors, stepTexels, valuesOfTexel } from "./quantized_operands.js";

/** Steps whose products of integers add up to no more than 2^24, exact in floats: four of 2^14, or eight of 2^11 with 4 bits. */
const exactSteps = 256;
const exactStepsOf4 = 1024;

/** What the loops over k read, and how much they add up. */
export interface Terms {
  readonly x: string;
  readonly w: string;
  readonly rows: number;
  readonly halves: number;
  /** Steps along k in one turn. */
  readonly stride: number;
}

function eachRow<T>({ rows }: Terms, of: (r: number) => T): T[] {
  return Array.from({ length: rows }, (_, r) => of(r));
}

export function eachSum<T>(terms: Terms, of: (r: number, h: number) => T): T[] {
  return eachRow(terms, (r) => Array.from({ length: terms.halves }, (_, h) => of(r, h))).flat();
}

/** Statements that declare where the texels of each panel lie at step `at`. */
function panelLines({ halves }: Terms): string[] {
  const count = Math.ceil(halves / 2);
  return Array.from(
    { length: count },
    (_, p) =>
      `vec2 panel${p} = middleOf(shiftW, at${p === 0 ? "" : ` + ${p} * steps * ${stepTexels}`}, sizeW);`,
  );
}

/** GLSL for the words of half panel h, `step` steps behind `at`. */
function wordsOf({ w }: Terms, h: number, step = 0): string {
  return `wordsAt(${w}, panel${h >> 1}, ${(h & 1) + step * stepTexels}, sizeW)`;
}

/** Each half by itself, so that few values live at a time. */
function eachHalf({ halves }: Terms, of: (h: number) => readonly string[]): string[] {
  return Array.from({ length: halves }, (_, h) => ["{", ...of(h), "}"]).flat();
}

/** A loop of `i` up to `to`, whose turns add products to `part…`. */
interface Turns {
  readonly to: string;
  readonly stride: number;
  readonly statements: readonly string[];
  /** Of integers: how many steps there are at most, and how many add up exactly. */
  readonly integers?: { readonly steps: number; readonly exact: number };
}

/** Declares `${sums}…` and adds up the turns in them: those of integers in as many blocks as it takes to be exact. */
function addTurns(
  shader: ShaderBuilder,
  terms: Terms,
  sums: string,
  { to, stride, statements, integers }: Turns,
): void {
  const vector = integers ? "ivec4" : "vec4";
  const isBlocked = integers !== undefined && integers.steps > integers.exact;
  shader.add(
    ...eachSum(terms, (r, h) => `${vector} ${sums}${r}${h} = ${vector}(0);`),
    isBlocked ? `while (i < ${to}) {` : "{",
    ...eachSum(terms, (r, h) => `vec4 part${r}${h} = vec4(0.0);`),
    `int end = ${isBlocked ? `min(i + ${integers.exact}, ${to})` : to};`,
    `for (; i < end; i += ${stride}) {`,
    ...statements,
    "}",
    ...eachSum(terms, (r, h) => `${sums}${r}${h} += ${vector}(part${r}${h});`),
    "}",
  );
}

/** 8 and 7 bits; `steps` is how many there are at most. */
export function multiplySteps(shader: ShaderBuilder, terms: Terms, steps: number, isInteger: boolean): void {
  const { x, stride } = terms;
  const turn = Array.from({ length: stride }, (_, step) => [
    "{",
    ...eachRow(
      terms,
      (r) => `vec4 x${r} = inputTexel(${x}, shiftX, line${r}, row${r}, i + ${step}, sizeX) * perByte;`,
    ),
    ...eachHalf(terms, (h) => [
      `mat4 w = weightsOf(${wordsOf(terms, h, step)});`,
      ...eachRow(terms, (r) => `part${r}${h} += w * x${r};`),
    ]),
    "}",
  ]).flat();
  shader.add(`at += from * ${stepTexels};`, "int i = from;");
  addTurns(shader, terms, "sum", {
    to: "to",
    stride,
    statements: [...panelLines(terms), ...turn, `at += ${stride * stepTexels};`],
    ...(isInteger && { integers: { steps, exact: exactSteps } }),
  });
}

/** Statements of a turn of the loop over a group: the products of a texel, and the input's numbers for sums of them. */
function groupTurn(terms: Terms, bits: number, isSummed: boolean): string[] {
  const input = (name: string, k: string, unit: string) =>
    eachRow(
      terms,
      (r) => `vec4 ${name}${r} = inputTexel(${terms.x}, shiftX, line${r}, row${r}, ${k}, sizeX) * ${unit};`,
    );
  const sums = (name: string, unit: string) =>
    isSummed ? eachRow(terms, (r) => `inputs${r} += dot(${name}${r}, ofBytes * ${unit});`) : [];
  if (bits === 8) {
    return [
      ...input("x", "k", "perByte"),
      ...sums("x", "1.0"),
      ...eachHalf(terms, (h) => [
        `mat4 w = weightsOf(${wordsOf(terms, h)});`,
        ...eachRow(terms, (r) => `part${r}${h} += w * x${r};`),
      ]),
      "k++;",
    ];
  }
  return [
    ...input("x", "k", "perByte"),
    ...input("y", "k + 1", "(perByte / 16.0)"),
    ...sums("x", "1.0"),
    ...sums("y", "16.0"),
    ...eachHalf(terms, (h) => [
      `ivec4 words = ${wordsOf(terms, h)};`,
      "mat4 low = lowOf(words), high = highOf(words);",
      ...eachRow(terms, (r) => `part${r}${h} += low * x${r} + high * y${r};`),
    ]),
    "k += 2;",
  ];
}

/** Weights in groups: the sum of each is scaled. */
export function multiplyGroups(
  shader: ShaderBuilder,
  factors: QuantizedFactors,
  groupSize: number,
  terms: Terms,
  builder: PassBuilder,
): void {
  const { halves } = terms;
  const { bits } = factors.format;
  const minimums = factors.minimums && denseScales(factors.minimums, builder);
  const scales = denseScales(factors.scales!, builder);
  const inputScales = factors.inputScales!;
  const [scaleRow, scaleGroup] = inputScales.view.strides.map((stride) => shader.int(stride));
  const s = shader.texture(scales.slot, "float32");
  const v = shader.texture(inputScales.slot, "float32");
  const least = minimums && shader.texture(minimums.slot, "float32");
  const groups = inputScales.view.shape[1];
  const steps = groupSize / valuesOfTexel(factors.format);
  shader.add(
    ...eachSum(terms, (r, h) => `vec4 sum${r}${h} = vec4(0.0);`),
    `int length = ${shader.int(steps)};`,
    `at += from * length * ${stepTexels};`,
    `int k = from * length * ${groupSize / steps / lanes};`,
    `int groups2 = ${shader.int(2 * groups)};`,
    `int scaleAt = ${shader.int(scales.view.offset / lanes)} + panel * groups2 + from * 2 + half0;`,
    ...(minimums
      ? [`int minimumAt = ${shader.int(minimums.view.offset / lanes)} + panel * groups2 + from * 2 + half0;`]
      : []),
    "for (int group = from; group < to; group++) {",
    "int i = 0;",
    ...(minimums ? eachRow(terms, (r) => `float inputs${r} = 0.0;`) : []),
  );
  addTurns(shader, terms, "total", {
    to: "length",
    stride: 1,
    statements: [
      ...panelLines(terms),
      ...groupTurn(terms, bits, minimums !== undefined),
      `at += ${stepTexels};`,
    ],
    integers: { steps, exact: bits === 4 ? exactStepsOf4 : exactSteps },
  });
  shader.add(
    `int inputScale = ${shader.int(inputScales.view.offset)} + row * ${scaleRow} + group * ${scaleGroup};`,
    ...Array.from(
      { length: halves },
      (_, h) => `vec4 scale${h} = floatTexel(${s}, scaleAt + ${h & 1} + ${h >> 1} * groups2);`,
    ),
    "scaleAt += 2;",
    ...eachRow(terms, (r) => `float scaleOf${r} = floatAt(${v}, inputScale + ${r} * ${scaleRow});`),
    ...eachSum(terms, (r, h) => `sum${r}${h} += vec4(total${r}${h}) * scaleOf${r} * scale${h};`),
    ...(least
      ? [
          ...Array.from(
            { length: halves },
            (_, h) => `vec4 least${h} = floatTexel(${least}, minimumAt + ${h & 1} + ${h >> 1} * groups2);`,
          ),
          "minimumAt += 2;",
          ...eachSum(terms, (r, h) => `sum${r}${h} += inputs${r} * scaleOf${r} * least${h};`),
        ]
      : []),
    "}",
  );
}
