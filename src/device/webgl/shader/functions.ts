/** GLSL of the instructions that are functions. */
import erfChunk from "../../../../glsl/erf.glsl";
import expChunk from "../../../../glsl/exp.glsl";
import expm1Chunk from "../../../../glsl/expm1.glsl";
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
import type { FloatFunction, FunctionName, IntegerFunction } from "../../../kernels/instructions.js";

export interface Glsl {
  /** An expression of the arguments $a and $b, vectors of four; $ones is an int with all bits set. */
  readonly code: string;
  /** The text of functions that it calls. */
  readonly chunks: readonly string[];
}

/** For vec4 of float32, and for ivec4 of all other dtypes (bool: 0 and 1). */
export type GlslOf<Name extends FunctionName> = (Name extends FloatFunction
  ? { readonly float: Glsl }
  : unknown) &
  (Name extends IntegerFunction ? { readonly integer: Glsl } : unknown);

function glsl(code: string, ...chunks: readonly string[]): Glsl {
  return { code, chunks };
}

function float(code: string, ...chunks: readonly string[]) {
  return { float: glsl(code, ...chunks) };
}

function integer(code: string, ...chunks: readonly string[]) {
  return { integer: glsl(code, ...chunks) };
}

/** The same text for both. */
function both(code: string) {
  return { ...float(code), ...integer(code) };
}

export const functions: { readonly [Name in FunctionName]: GlslOf<Name> } = {
  neg: both("-$a"),
  abs: { ...float("abs($a)"), ...integer("select(lessThan($a, ivec4(0)), -$a, $a)") },
  sign: {
    ...float("vec4(greaterThan($a, vec4(0.0))) - vec4(lessThan($a, vec4(0.0)))"),
    ...integer("sign($a)"),
  },
  exp: float("exponential($a)", expChunk),
  expm1: float("exponentialMinus1($a)", expm1Chunk),
  log: float("logarithm($a)", logChunk),
  log1p: float("logarithm1p($a)", logChunk, log1pChunk),
  sqrt: float("sqrt($a)"),
  rsqrt: float("1.0 / sqrt($a)"),
  reciprocal: float("1.0 / $a"),
  sin: float("sine($a)", multiplyHighChunk, sineChunk),
  cos: float("cosine($a)", multiplyHighChunk, sineChunk),
  tanh: float("hyperbolicTangent($a)", tanhChunk),
  sigmoid: float("sigmoid($a)", sigmoidChunk),
  erf: float("errorFunction($a)", erfChunk),
  relu: { ...float("rectified($a)", reluChunk), ...integer("max($a, ivec4(0))") },
  floor: { ...float("keepSign(floor($a), $a)", truncateChunk), ...integer("$a") },
  ceil: { ...float("ceiling($a)", truncateChunk), ...integer("$a") },
  round: { ...float("roundHalfEven($a)", roundChunk), ...integer("$a") },
  trunc: { ...float("truncated($a)", truncateChunk), ...integer("$a") },
  isnan: { ...float("ivec4(isNotNumber($a))"), ...integer("ivec4(0)") },
  not: integer("ivec4(equal($a, ivec4(0)))"),
  add: both("$a + $b"),
  sub: both("$a - $b"),
  mul: both("$a * $b"),
  div: { ...float("$a / $b"), ...integer("divide($a, $b)", integerChunk) },
  pow: {
    ...float("power($a, $b)", expChunk, logChunk, powerChunk),
    ...integer("power($a, $b)", integerChunk),
  },
  mod: { ...float("modulo($a, $b)", moduloChunk), ...integer("modulo($a, $b)", integerChunk) },
  max: { ...float("maximum($a, $b)", extremesChunk), ...integer("max($a, $b)") },
  min: { ...float("minimum($a, $b)", extremesChunk), ...integer("min($a, $b)") },
  eq: both("ivec4(equal($a, $b))"),
  ne: both("ivec4(notEqual($a, $b))"),
  lt: both("ivec4(lessThan($a, $b))"),
  le: both("ivec4(lessThanEqual($a, $b))"),
  gt: both("ivec4(greaterThan($a, $b))"),
  ge: both("ivec4(greaterThanEqual($a, $b))"),
  and: integer("$a & $b"),
  or: integer("$a | $b"),
  xor: integer("$a ^ $b"),
  roundedMul: float("materialized($a * $b, $ones)", materializedChunk),
  roundedDiv: float("roundedQuotient($a, $b)", roundedQuotientChunk),
};
