/** Fused expressions as GLSL: four elements at a time, float32 as vec4, all other dtypes as ivec4 (bool 0 and 1). */
import castChunk from "../../../../glsl/cast.glsl";
import nearestFloatChunk from "../../../../glsl/nearest_float.glsl";
import { type DType, isFloat, isHalf } from "../../../core/dtype.js";
import type { Expression, Instruction } from "../../../kernels/expression.js";
import type { FormName, InstructionName } from "../../../kernels/instructions.js";
import { functions, type Glsl } from "./functions.js";
import { ofHalves, type ShaderBuilder, vectorOf } from "./shader.js";

/** GLSL for the leaves of an expression at the current position. */
export interface Sources {
  /** The vector of input `index`. */
  load(index: number): string;
  /** ivec4 of indices along dimension `dim` of the call's shape. */
  iota(dim: number): string;
  /** vec4 of random numbers; `seeds` is an ivec3. */
  uniform(seeds: string): string;
}

/** Bounds of the integers to which floats saturate; those of int32 are handled by their bits. */
const bounds: Readonly<Record<string, readonly [string, string]>> = {
  int32: ["-2147483648.0", "2147483648.0"],
  int8: ["-128.0", "127.0"],
  uint8: ["0.0", "255.0"],
};

/**
 * Constants written as literals, which makes separate programs; all others are uniforms. Not the float 0: with it as a literal, drivers
 * optimize away products and quotients that are NaN in IEEE 754.
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

type Form = (
  shader: ShaderBuilder,
  instruction: Instruction,
  sources: Sources,
  args: readonly string[],
  from: DType | undefined,
) => string;

const forms: Readonly<Record<FormName, Form>> = {
  load: (_, { index }, sources) => sources.load(index!),
  constant: (shader, { dtype, value }) => constantOf(shader, dtype, value!),
  scalar: (shader, { dtype, index }) => `${vectorOf(dtype)}(${shader.scalar(index!, dtype)})`,
  uniform: (shader, { index }, sources) => {
    const seeds = [0, 1, 2].map((k) => shader.scalar(index! + k, "int32"));
    return sources.uniform(`ivec3(${seeds.join(", ")})`);
  },
  iota: (_, { index }, sources) => sources.iota(index!),
  cast: (shader, { dtype }, _, [value], from) => castOf(shader, value, from!, dtype),
  where: (_shader, _instruction, _sources, [condition, a, b]) =>
    `select(notEqual(${condition}, ivec4(0)), ${a}, ${b})`,
};

function isForm(name: InstructionName): name is FormName {
  return name in forms;
}

/** `from` is the dtype of the last argument. */
function codeOf(
  shader: ShaderBuilder,
  instruction: Instruction,
  args: readonly string[],
  from: DType | undefined,
  sources: Sources,
): string {
  const { op } = instruction;
  if (isForm(op)) return forms[op](shader, instruction, sources, args, from);
  const { float, integer }: { float?: Glsl; integer?: Glsl } = functions[op];
  const glsl = from !== undefined && isFloat(from) ? float : integer;
  if (glsl === undefined) throw new Error(`webgl: ${op} is not defined for ${from}`);
  for (const chunk of glsl.chunks) shader.include(chunk);
  const code = glsl.code.replaceAll("$a", args[0]).replaceAll("$b", args[1]);
  return code.includes("$ones") ? code.replace("$ones", allBits(shader)) : code;
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
    if (!isFloat(from)) return `ivec4(notEqual(${value}, ivec4(0)))`;
    shader.include(castChunk);
    return `isNotZero(${value})`;
  }
  if (isHalf(to)) return ofHalves(shader, "roundTo", to, isFloat(from) ? value : `vec4(${value})`);
  if (isFloat(from)) {
    if (to === "float32") return value;
    shader.include(castChunk);
    return `toInteger(${value}, ${bounds[to].join(", ")})`;
  }
  if (to === "float32") {
    if (from !== "int32") return `vec4(${value})`;
    shader.include(nearestFloatChunk);
    return `nearestFloat(${value})`;
  }
  if (to === "uint8") return `${value} & 255`;
  if (to === "int8") return `(${value} << 24) >> 24`;
  return value;
}
