/**
 * Instruction selection: turns an expression into block loops. What is the same for all elements is computed once, in
 * cells of four lanes; numbers become operands of `…Scalar` loops; products that are only added become one loop.
 */
import { ArgumentError } from "../../../core/errors.js";
import type { BinaryOp, Expression, Instruction, UnaryOp } from "../../../kernels/kernel.js";
import { drawUniform, type LoopName, loadInput, loopNumber } from "./loops.js";

/** Where a value stands: a block value (to be given a register) or a fixed entry of the pointer table. */
export type Place =
  | { readonly kind: "block"; readonly id: number }
  | { readonly kind: "input"; readonly input: number }
  | { readonly kind: "cell"; readonly cell: number };

/** One loop over a block. `raw` is an operand that is not a place: an input's number or a scalar's. */
export interface Step {
  readonly loop: number;
  readonly target: Place;
  readonly args: readonly Place[];
  readonly raw?: number;
}

export type CellSource =
  | { readonly kind: "constant"; readonly value: number; readonly isFloat: boolean }
  | { readonly kind: "scalar"; readonly index: number }
  | { readonly kind: "input"; readonly input: number };

/**
 * What a load or iota instruction reads: `constant` is the same for all elements, `direct` needs no register,
 * `periodic` is the same for every block.
 */
export type InputKind = "constant" | "direct" | "periodic" | "walked";

export interface Selection {
  readonly cells: readonly { readonly cell: number; readonly source: CellSource }[];
  /** Steps on cells, once per call. */
  readonly once: readonly Step[];
  /** Steps on a whole block, once per call; their targets stay. */
  readonly fills: readonly Step[];
  readonly steps: readonly Step[];
  /** The place of each result; never a cell. */
  readonly results: readonly Place[];
  readonly blockCount: number;
  readonly cellCount: number;
}

const floatUnary: Partial<Record<UnaryOp, LoopName>> = {};
const names: readonly UnaryOp[] = [
  "neg",
  "abs",
  "sign",
  "exp",
  "log",
  "log1p",
  "sqrt",
  "rsqrt",
  "reciprocal",
  "sin",
  "cos",
  "tanh",
  "sigmoid",
  "erf",
  "relu",
  "floor",
  "ceil",
  "round",
  "trunc",
  "isnan",
  "not",
];
for (const name of names) floatUnary[name] = name as LoopName;
const intUnary: Partial<Record<UnaryOp, LoopName>> = {
  neg: "negInt",
  abs: "absInt",
  sign: "signInt",
  relu: "reluInt",
  not: "not",
};
/** On int32 these change nothing. */
const intIdentity: readonly string[] = ["floor", "ceil", "round", "trunc"];

const intBinary: Partial<Record<BinaryOp, LoopName>> = {
  add: "addInt",
  sub: "subInt",
  mul: "mulInt",
  div: "divInt",
  pow: "powInt",
  mod: "modInt",
  max: "maxInt",
  min: "minInt",
  eq: "eqInt",
  ne: "neInt",
  lt: "ltInt",
  le: "leInt",
  gt: "gtInt",
  ge: "geInt",
};

/** Loops with a number as second operand, and what to use when the number comes first. */
const scalarRight: Partial<Record<LoopName, LoopName>> = {
  add: "addScalar",
  sub: "subScalar",
  mul: "mulScalar",
  div: "divScalar",
  max: "maxScalar",
  min: "minScalar",
  eq: "eqScalar",
  ne: "neScalar",
  lt: "ltScalar",
  le: "leScalar",
  gt: "gtScalar",
  ge: "geScalar",
  addInt: "addIntScalar",
  mulInt: "mulIntScalar",
};
const scalarLeft: Partial<Record<LoopName, LoopName>> = {
  add: "addScalar",
  sub: "subFromScalar",
  mul: "mulScalar",
  div: "divIntoScalar",
  max: "maxScalar",
  min: "minScalar",
  eq: "eqScalar",
  ne: "neScalar",
  lt: "gtScalar",
  le: "geScalar",
  gt: "ltScalar",
  ge: "leScalar",
  addInt: "addIntScalar",
  mulInt: "mulIntScalar",
};

export class Selector {
  private readonly places: (Place | undefined)[] = [];
  private readonly uses: number[];
  private readonly cells: { cell: number; source: CellSource }[] = [];
  private readonly once: Step[] = [];
  private readonly fills: Step[] = [];
  private readonly steps: Step[] = [];
  private readonly filled = new Map<number, Place>();
  private blockCount = 0;
  private cellCount = 0;

  /** `inputs` maps load and iota instructions to operand numbers, `kinds` says how each operand is read. */
  constructor(
    private readonly expression: Expression,
    private readonly inputs: ReadonlyMap<number, number>,
    private readonly kinds: readonly InputKind[],
  ) {
    const { instructions, results } = expression;
    this.uses = new Array<number>(instructions.length).fill(0);
    for (const result of results) this.uses[result] += 2;
    for (let i = instructions.length - 1; i >= 0; i--) {
      if (this.uses[i] > 0) for (const arg of instructions[i].args) this.uses[arg]++;
    }
  }

  select(): Selection {
    this.expression.instructions.forEach((instruction, i) => {
      if (this.uses[i] > 0) this.places[i] = this.lower(instruction, i);
    });
    const results = this.expression.results.map((result) => this.leave(this.resolve(result)));
    const { cells, once, fills, steps, blockCount, cellCount } = this;
    return { cells, once, fills, steps, results, blockCount, cellCount };
  }

  /** A result that is the same for all elements is repeated into a block of its own, which may be an output. */
  private leave(place: Place): Place {
    return place.kind === "cell" ? this.step("fill", [place]) : place;
  }

  /** The value of instruction i; products that were put off are computed now. */
  private resolve(i: number): Place {
    const place = this.places[i];
    if (place) return place;
    const { args } = this.expression.instructions[i];
    const result = this.binary("mul", this.resolve(args[0]), this.resolve(args[1]));
    this.places[i] = result;
    return result;
  }

  private cell(source: CellSource): Place {
    const cell = this.cellCount++;
    this.cells.push({ cell, source });
    return { kind: "cell", cell };
  }

  private step(loop: LoopName, args: readonly Place[]): Place {
    const target: Place = { kind: "block", id: this.blockCount++ };
    this.steps.push({ loop: loopNumber[loop], target, args });
    return target;
  }

  private stepOnce(loop: LoopName, args: readonly Place[]): Place {
    const target: Place = { kind: "cell", cell: this.cellCount++ };
    this.once.push({ loop: loopNumber[loop], target, args });
    return target;
  }

  /** The place as a whole block, for loops that take no numbers. */
  private block(place: Place): Place {
    if (place.kind !== "cell") return place;
    const known = this.filled.get(place.cell);
    if (known) return known;
    const target: Place = { kind: "block", id: this.blockCount++ };
    this.fills.push({ loop: loopNumber.fill, target, args: [place] });
    this.filled.set(place.cell, target);
    return target;
  }

  private apply(loop: LoopName, args: readonly Place[]): Place {
    if (args.every((arg) => arg.kind === "cell")) return this.stepOnce(loop, args);
    return this.step(
      loop,
      args.map((arg) => this.block(arg)),
    );
  }

  private binary(loop: LoopName, x: Place, y: Place): Place {
    if (x.kind !== "cell" && y.kind === "cell") {
      const variant = scalarRight[loop];
      if (variant) return this.step(variant, [x, y]);
    }
    if (x.kind === "cell" && y.kind !== "cell") {
      const variant = scalarLeft[loop];
      if (variant) return this.step(variant, [y, x]);
    }
    return this.apply(loop, [x, y]);
  }

  private lower(instruction: Instruction, i: number): Place | undefined {
    const { op, dtype, args } = instruction;
    switch (op) {
      case "constant":
        return this.cell({
          kind: "constant",
          value: Number(instruction.value ?? 0),
          isFloat: dtype === "float32",
        });
      case "scalar":
        return this.cell({ kind: "scalar", index: instruction.index ?? 0 });
      case "load":
      case "iota": {
        const input = this.inputs.get(i)!;
        if (this.kinds[input] === "constant") {
          if (op === "iota") return this.cell({ kind: "constant", value: 0, isFloat: false });
          return this.cell({ kind: "input", input });
        }
        if (this.kinds[input] === "direct") return { kind: "input", input };
        const target: Place = { kind: "block", id: this.blockCount++ };
        const list = this.kinds[input] === "periodic" ? this.fills : this.steps;
        list.push({ loop: loadInput, target, args: [], raw: input });
        return target;
      }
      case "uniform": {
        const target: Place = { kind: "block", id: this.blockCount++ };
        this.steps.push({ loop: drawUniform, target, args: [], raw: instruction.index ?? 0 });
        return target;
      }
      case "cast":
        return this.cast(instruction);
      case "where":
        return this.apply(
          "where",
          args.map((arg) => this.resolve(arg)),
        );
      default:
        if (args.length === 1) return this.unary(op as UnaryOp, args[0]);
        return this.arithmetic(op as BinaryOp, i, args[0], args[1]);
    }
  }

  private cast({ dtype, args }: Instruction): Place {
    const source = this.expression.instructions[args[0]].dtype;
    const value = this.resolve(args[0]);
    if (source === dtype) return value;
    if (dtype === "float32") return this.apply("intToFloat", [value]);
    if (source === "float32") {
      const loops = {
        int32: "floatToInt",
        uint8: "floatToU8",
        int8: "floatToI8",
        bool: "floatToBool",
      } as const;
      return this.apply(loops[dtype], [value]);
    }
    if (dtype === "bool") return this.apply("intToBool", [value]);
    if (dtype === "int32" || source === "bool") return value;
    return this.apply(dtype === "uint8" ? "intToU8" : "intToI8", [value]);
  }

  private unary(op: UnaryOp, arg: number): Place {
    const isFloat = this.expression.instructions[arg].dtype === "float32";
    const value = this.resolve(arg);
    if (!isFloat && intIdentity.includes(op)) return value;
    if (!isFloat && op === "isnan") return this.cell({ kind: "constant", value: 0, isFloat: false });
    if (isFloat && op === "not") return this.binary("eq", value, this.number(0));
    const loop = (isFloat ? floatUnary : intUnary)[op];
    if (!loop) throw new ArgumentError(`${op} is not defined on integers`, { op });
    return this.apply(loop, [value]);
  }

  private number(value: number): Place {
    return this.cell({ kind: "constant", value, isFloat: true });
  }

  private arithmetic(op: BinaryOp, i: number, left: number, right: number): Place | undefined {
    if (this.expression.instructions[left].dtype !== "float32") {
      return this.binary(intBinary[op] ?? (op as LoopName), this.resolve(left), this.resolve(right));
    }
    if (op === "mul" && this.uses[i] === 1 && !this.isInvariant(left, right)) return undefined;
    if (op === "add") {
      if (this.isPending(left)) return this.fused("mulAdd", left, right);
      if (this.isPending(right)) return this.fused("mulAdd", right, left);
    }
    if (op === "sub" && this.isPending(right)) return this.fused("mulSubFrom", right, left);
    if (op === "pow") return this.power(left, right);
    if (op === "roundedMul") return this.binary("mul", this.resolve(left), this.resolve(right));
    if (op === "roundedDiv") return this.binary("div", this.resolve(left), this.resolve(right));
    return this.binary(op as LoopName, this.resolve(left), this.resolve(right));
  }

  /** True if both values are known to be cells. */
  private isInvariant(left: number, right: number): boolean {
    return this.places[left]?.kind === "cell" && this.places[right]?.kind === "cell";
  }

  /** A product put off until its only use is known. */
  private isPending(i: number): boolean {
    return this.places[i] === undefined;
  }

  private fused(loop: "mulAdd" | "mulSubFrom", product: number, other: number): Place {
    const addend = this.block(this.resolve(other));
    const { args } = this.expression.instructions[product];
    const x = this.resolve(args[0]);
    const y = this.resolve(args[1]);
    if (y.kind === "cell") return this.step(`${loop}Scalar`, [x, y, addend]);
    if (x.kind === "cell") return this.step(`${loop}Scalar`, [y, x, addend]);
    return this.step(loop, [x, y, addend]);
  }

  /** Small constant exponents have cheaper and exact forms. */
  private power(left: number, right: number): Place {
    const exponent = this.expression.instructions[right];
    const x = this.resolve(left);
    if (exponent.op === "constant") {
      switch (exponent.value) {
        case 0:
          return this.number(1);
        case 1:
          return x;
        case 2:
          return this.binary("mul", x, x);
        case 3:
          return this.binary("mul", this.binary("mul", x, x), x);
        case -1:
          return this.apply("reciprocal", [x]);
      }
    }
    return this.apply("pow", [x, this.resolve(right)]);
  }
}
