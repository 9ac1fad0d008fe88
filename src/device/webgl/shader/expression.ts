/** Fused expressions as GLSL: four elements at a time, float32 as vec4, all other dtypes as ivec4 (bool 0 and 1). */
import castChunk from "../../../../glsl/cast.glsl";
import erfChunk from "../../../../glsl/erf.glsl";
import expChunk from "../../../../glsl/exp.glsl";
import extremesChunk from "../../../../glsl/extremes.glsl";
import integerChunk from "../../../../glsl/integer.glsl";
import logChunk from "../../../../glsl/log.glsl";
import log1pChunk from "../../../../glsl/log1p.glsl";
import materializedChunk from "../../../../glsl/materialized.glsl";
import moduloChunk from "../../../../glsl/modulo.glsl";
import multiplyHighChunk from "../../../../glsl/multiply_high.glsl";
import powerChunk from "../../../../glsl/power.glsl";
import reluChunk from "../../../../glsl/relu.glsl";
import roundChunk from "../../../../glsl/round.glsl";
import roundedQuotientChunk from "../../../../glsl/rounded_quotient.glsl";
import sigmoidChunk from "../../../../glsl/sigmoid.glsl";
import sineChunk from "../../../../glsl/sine.glsl";
import tanhChunk from "../../../../glsl/tanh.glsl";
import truncateChunk from "../../../../glsl/truncate.glsl";
import type { DType } from "../../../core/dtype.js";
import type { Expression, Instruction } from "../../../kernels/kernel.js";
import { type ShaderBuilder, vectorOf } from "./shader.js";

/** Where an expression's leaves come from at the place where it is evaluated. */
export interface Sources {
  /** The vector of input `index`. */
  load(index: number): string;
  /** ivec4 of indices along dimension `dim` of the call's shape. */
  iota(dim: number): string;
  /** vec4 of random numbers; `seeds` is an ivec3. */
  uniform(seeds: string): string;
}

interface Rule {
  readonly code: string;
  readonly chunks?: readonly string[];
}

/** float32, by op: $a and $b are the arguments. */
const floatRules: Readonly<Record<string, Rule>> = {
  neg: { code: "-$a" },
  abs: { code: "abs($a)" },
  sign: { code: "vec4(greaterThan($a, vec4(0.0))) - vec4(lessThan($a, vec4(0.0)))" },
  exp: { code: "exponential($a)", chunks: [expChunk] },
  log: { code: "logarithm($a)", chunks: [logChunk] },
  log1p: { code: "logarithm1p($a)", chunks: [logChunk, log1pChunk] },
  sqrt: { code: "sqrt($a)" },
  rsqrt: { code: "1.0 / sqrt($a)" },
  reciprocal: { code: "1.0 / $a" },
  sin: { code: "sine($a)", chunks: [multiplyHighChunk, sineChunk] },
  cos: { code: "cosine($a)", chunks: [multiplyHighChunk, sineChunk] },
  tanh: { code: "hyperbolicTangent($a)", chunks: [tanhChunk] },
  sigmoid: { code: "sigmoid($a)", chunks: [sigmoidChunk] },
  erf: { code: "errorFunction($a)", chunks: [erfChunk] },
  relu: { code: "rectified($a)", chunks: [reluChunk] },
  floor: { code: "keepSign(floor($a), $a)", chunks: [truncateChunk] },
  ceil: { code: "ceiling($a)", chunks: [truncateChunk] },
  round: { code: "roundHalfEven($a)", chunks: [roundChunk] },
  trunc: { code: "truncated($a)", chunks: [truncateChunk] },
  isnan: { code: "ivec4(isNotNumber($a))" },
  add: { code: "$a + $b" },
  sub: { code: "$a - $b" },
  mul: { code: "$a * $b" },
  div: { code: "$a / $b" },
  pow: { code: "power($a, $b)", chunks: [expChunk, logChunk, powerChunk] },
  mod: { code: "modulo($a, $b)", chunks: [moduloChunk] },
  roundedDiv: { code: "roundedQuotient($a, $b)", chunks: [roundedQuotientChunk] },
  max: { code: "maximum($a, $b)", chunks: [extremesChunk] },
  min: { code: "minimum($a, $b)", chunks: [extremesChunk] },
};

/** All other dtypes. */
const intRules: Readonly<Record<string, Rule>> = {
  neg: { code: "-$a" },
  abs: { code: "select(lessThan($a, ivec4(0)), -$a, $a)" },
  sign: { code: "sign($a)" },
  relu: { code: "max($a, ivec4(0))" },
  floor: { code: "$a" },
  ceil: { code: "$a" },
  round: { code: "$a" },
  trunc: { code: "$a" },
  isnan: { code: "ivec4(0)" },
  not: { code: "ivec4(equal($a, ivec4(0)))" },
  add: { code: "$a + $b" },
  sub: { code: "$a - $b" },
  mul: { code: "$a * $b" },
  div: { code: "divide($a, $b)", chunks: [integerChunk] },
  pow: { code: "power($a, $b)", chunks: [integerChunk] },
  mod: { code: "modulo($a, $b)", chunks: [integerChunk] },
  max: { code: "max($a, $b)" },
  min: { code: "min($a, $b)" },
  and: { code: "$a & $b" },
  or: { code: "$a | $b" },
  xor: { code: "$a ^ $b" },
};

const comparisons: Readonly<Record<string, string>> = {
  eq: "equal",
  ne: "notEqual",
  lt: "lessThan",
  le: "lessThanEqual",
  gt: "greaterThan",
  ge: "greaterThanEqual",
};

/** Bounds of the integers to which floats saturate; those of int32 are handled by their bits. */
const bounds: Readonly<Record<string, readonly [string, string]>> = {
  int32: ["-2147483648.0", "2147483648.0"],
  int8: ["-128.0", "127.0"],
  uint8: ["0.0", "255.0"],
};

/**
 * Literals that are worth a program of their own; all other constants are uniforms. The float 0 is not among them: with
 * it in the text, drivers drop products and quotients that IEEE 754 calls NaN.
 */
const literals: Readonly<Record<"vec4" | "ivec4", readonly number[]>> = {
  vec4: [1, -1, 2, 0.5],
  ivec4: [0, 1, -1, 2],
};

/** Adds statements that compute the expression and returns the names of its results. */
export function emitExpression(
  shader: ShaderBuilder,
  { instructions, results }: Expression,
  sources: Sources,
  prefix = "v",
): string[] {
  const names = instructions.map((_, i) => `${prefix}${i}`);
  instructions.forEach((instruction, i) => {
    const args = instruction.args.map((arg) => names[arg]);
    const argType = instruction.args.length > 0 ? instructions[instruction.args.at(-1)!].dtype : undefined;
    const code = codeOf(shader, instruction, args, argType, sources);
    shader.add(`${vectorOf(instruction.dtype)} ${names[i]} = ${code};`);
  });
  return results.map((result) => names[result]);
}

function codeOf(
  shader: ShaderBuilder,
  { op, dtype, value, index }: Instruction,
  args: readonly string[],
  argType: DType | undefined,
  sources: Sources,
): string {
  switch (op) {
    case "load":
      return sources.load(index!);
    case "constant":
      return constantOf(shader, dtype, value!);
    case "scalar":
      return `${vectorOf(dtype)}(${shader.scalar(index!, dtype)})`;
    case "iota":
      return sources.iota(index!);
    case "uniform": {
      const seeds = [0, 1, 2].map((k) => shader.scalar(index! + k, "int32"));
      return sources.uniform(`ivec3(${seeds.join(", ")})`);
    }
    case "cast":
      return castOf(shader, args[0], argType!, dtype);
    case "where":
      return `select(notEqual(${args[0]}, ivec4(0)), ${args[1]}, ${args[2]})`;
    case "roundedMul":
      shader.include(materializedChunk);
      return `materialized(${args.join(" * ")}, ${allBits(shader)})`;
    default: {
      if (op in comparisons) return `ivec4(${comparisons[op]}(${args.join(", ")}))`;
      const rule = (argType === "float32" ? floatRules : intRules)[op];
      if (rule === undefined) throw new Error(`webgl: ${op} is not defined for ${argType}`);
      for (const chunk of rule.chunks ?? []) shader.include(chunk);
      return rule.code.replaceAll("$a", args[0]).replaceAll("$b", args[1]);
    }
  }
}

/** All bits set, for `materialized`. */
export function allBits(shader: ShaderBuilder): string {
  return shader.shared("all bits", -1);
}

function constantOf(shader: ShaderBuilder, dtype: DType, value: number): string {
  const type = vectorOf(dtype);
  if (literals[type].includes(value) && !Object.is(value, -0)) {
    return type === "vec4" ? `vec4(${value.toFixed(1)})` : `ivec4(${value})`;
  }
  return `${type}(${type === "vec4" ? shader.float(value) : shader.int(value)})`;
}

function castOf(shader: ShaderBuilder, value: string, from: DType, to: DType): string {
  if (from === to) return value;
  if (to === "bool") {
    if (from !== "float32") return `ivec4(notEqual(${value}, ivec4(0)))`;
    shader.include(castChunk);
    return `isNotZero(${value})`;
  }
  if (from === "float32") {
    shader.include(castChunk);
    return `toInteger(${value}, ${bounds[to].join(", ")})`;
  }
  if (to === "float32") return `vec4(${value})`;
  if (to === "uint8") return `${value} & 255`;
  if (to === "int8") return `(${value} << 24) >> 24`;
  return value;
}
