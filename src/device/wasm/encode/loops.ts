/** Numbers of the block loops: positions in the table of assembly/map_loops.ts. */

// biome-ignore format: a table
const names = [
  "neg", "abs", "sign", "sqrt", "rsqrt", "reciprocal", "relu", "floor", "ceil", "round", "trunc", "isnan",
  "not", "negInt", "absInt", "signInt", "reluInt", "floatToInt", "intToFloat", "intToU8", "intToI8",
  "floatToU8", "floatToI8", "floatToBool", "intToBool", "exp", "log", "sin", "cos", "tanh", "sigmoid", "erf",
  "log1p", "add", "sub", "mul", "div", "max", "min", "eq", "ne", "lt", "le", "gt", "ge", "addInt", "subInt", "mulInt",
  "maxInt", "minInt", "eqInt", "neInt", "ltInt", "leInt", "gtInt", "geInt", "and", "or", "xor",
  "addScalar", "subScalar", "mulScalar", "divScalar", "maxScalar", "minScalar", "subFromScalar",
  "divIntoScalar", "eqScalar", "neScalar", "ltScalar", "leScalar", "gtScalar", "geScalar", "addIntScalar",
  "mulIntScalar",
  "where", "mulAdd", "mulSubFrom", "mulAddScalar", "mulSubFromScalar", "fill", "pow", "powInt", "mod",
  "modInt", "divInt",
] as const;

export type LoopName = (typeof names)[number];

export const loopNumber = Object.fromEntries(names.map((name, i) => [name, i])) as Readonly<
  Record<LoopName, number>
>;

/** Instructions that are not loops over registers; see `evaluate` in assembly/expression.ts. */
export const loadInput = 256;
export const drawUniform = 257;
