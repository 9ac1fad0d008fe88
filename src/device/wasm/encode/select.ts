/**
 * Instruction selection: turns an expression into block loops. Values that are equal for all elements are computed once, in cells of four
 * lanes, and are operands of `…Scalar` loops; a product with one use in a sum or difference becomes a multiply-add.
 */
import { isFloat } from "../../../core/dtype.js";
import { ArgumentError } from "../../../core/errors.js";
import type { Expression, Instruction } from "../../../kernels/expression.js";
import { type FormName, type FunctionName, instructionOf } from "../../../kernels/instructions.js";
import {
  drawUniform,
  floatLoop,
  integerLoop,
  type LoopName,
  loadInput,
  loopNumber,
  scalarLoops,
} from "./loops.js";

/** The location of a value: a block value, which gets a register later, or a fixed entry of the pointer table. */
export type Place =
  | { readonly kind: "block"; readonly id: number }
  | { readonly kind: "input"; readonly input: number }
  | { readonly kind: "cell"; readonly cell: number };

/** One loop over a block. `raw` is an operand that is a number: of an input or a scalar. */
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
 * How a load or iota reads its operand: `constant` is equal for all elements, `direct` needs no register, `periodic` has the same values
 * in every block, `strided` is copied into a register.
 */
export type InputKind = "constant" | "direct" | "periodic" | "strided";

export interface Selection {
  readonly cells: readonly { readonly cell: number; readonly source: CellSource }[];
  /** Steps on cells, once per call. */
  readonly once: readonly Step[];
  /** Steps on a whole block, once per call; their registers are not reused. */
  readonly fills: readonly Step[];
  readonly steps: readonly Step[];
  /** The place of each result; never a cell. */
  readonly results: readonly Place[];
  readonly blockCount: number;
  readonly cellCount: number;
}

/** 16-bit floats are computed as float32 lanes that are rounded to the format. */
const roundings = { float16: "floatToF16", bfloat16: "floatToBf16" } as const;

/** The loops for a single value as first operand, if the function is not commutative. */
const scalarFirst: Partial<Record<LoopName, LoopName>> = {
  sub: "subFromScalar",
  div: "divIntoScalar",
  lt: "gtScalar",
  le: "geScalar",
  gt: "ltScalar",
  ge: "leScalar",
};

export class Selector {
  readonly #places: (Place | undefined)[] = [];
  readonly #uses: number[];
  readonly #cells: { cell: number; source: CellSource }[] = [];
  readonly #once: Step[] = [];
  readonly #fills: Step[] = [];
  readonly #steps: Step[] = [];
  readonly #filled = new Map<number, Place>();
  #blockCount = 0;
  #cellCount = 0;

  readonly #expression: Expression;
  readonly #inputs: ReadonlyMap<number, number>;
  readonly #kinds: readonly InputKind[];

  /** `inputs` maps load and iota instructions to operand numbers, `kinds` says how each operand is read. */
  constructor(expression: Expression, inputs: ReadonlyMap<number, number>, kinds: readonly InputKind[]) {
    this.#expression = expression;
    this.#inputs = inputs;
    this.#kinds = kinds;
    const { instructions, results } = expression;
    this.#uses = new Array<number>(instructions.length).fill(0);
    for (const result of results) this.#uses[result] += 2;
    for (let i = instructions.length - 1; i >= 0; i--) {
      if (this.#uses[i] > 0) for (const arg of instructions[i].args) this.#uses[arg]++;
    }
  }

  select(): Selection {
    this.#expression.instructions.forEach((instruction, i) => {
      if (this.#uses[i] > 0) this.#places[i] = this.#lower(instruction, i);
    });
    const results = this.#expression.results.map((result) => this.#resultOf(this.#resolve(result)));
    const [cells, once, fills, steps] = [this.#cells, this.#once, this.#fills, this.#steps];
    const [blockCount, cellCount] = [this.#blockCount, this.#cellCount];
    return { cells, once, fills, steps, results, blockCount, cellCount };
  }

  /** A result that is equal for all elements fills a block of its own, which may be an output. */
  #resultOf(place: Place): Place {
    return place.kind === "cell" ? this.#step("fill", [place]) : place;
  }

  /** The value of instruction i; a deferred product is computed now. */
  #resolve(i: number): Place {
    const place = this.#places[i];
    if (place) return place;
    const { args } = this.#expression.instructions[i];
    const result = this.#binary("mul", this.#resolve(args[0]), this.#resolve(args[1]));
    this.#places[i] = result;
    return result;
  }

  #cell(source: CellSource): Place {
    const cell = this.#cellCount++;
    this.#cells.push({ cell, source });
    return { kind: "cell", cell };
  }

  #step(loop: LoopName, args: readonly Place[]): Place {
    const target: Place = { kind: "block", id: this.#blockCount++ };
    this.#steps.push({ loop: loopNumber[loop], target, args });
    return target;
  }

  #stepOnce(loop: LoopName, args: readonly Place[]): Place {
    const target: Place = { kind: "cell", cell: this.#cellCount++ };
    this.#once.push({ loop: loopNumber[loop], target, args });
    return target;
  }

  /** The value as a whole block, for loops without a scalar form. */
  #block(place: Place): Place {
    if (place.kind !== "cell") return place;
    const known = this.#filled.get(place.cell);
    if (known) return known;
    const target: Place = { kind: "block", id: this.#blockCount++ };
    this.#fills.push({ loop: loopNumber.fill, target, args: [place] });
    this.#filled.set(place.cell, target);
    return target;
  }

  #apply(loop: LoopName, args: readonly Place[]): Place {
    if (args.every((arg) => arg.kind === "cell")) return this.#stepOnce(loop, args);
    return this.#step(
      loop,
      args.map((arg) => this.#block(arg)),
    );
  }

  #binary(loop: LoopName, x: Place, y: Place): Place {
    if (x.kind !== "cell" && y.kind === "cell") {
      const variant = scalarLoops[loop];
      if (variant) return this.#step(variant, [x, y]);
    }
    if (x.kind === "cell" && y.kind !== "cell") {
      const variant = scalarFirst[loop] ?? scalarLoops[loop];
      if (variant) return this.#step(variant, [y, x]);
    }
    return this.#apply(loop, [x, y]);
  }

  #lower(instruction: Instruction, i: number): Place | undefined {
    const { op, args } = instruction;
    const form = Selector.#forms[op as FormName];
    if (form !== undefined) return form(this, instruction, i);
    const { accepts } = instructionOf(op);
    const ofFloats = isFloat(this.#expression.instructions[args[0]].dtype);
    if (accepts === (ofFloats ? "bits" : "float32")) {
      throw new ArgumentError(`${op} is not defined on ${ofFloats ? "floats" : "integers"}`, { op });
    }
    const name = op as FunctionName;
    return args.length === 1
      ? this.#unary(name, args[0], ofFloats)
      : this.#arithmetic(name, i, args, ofFloats);
  }

  static readonly #forms: {
    readonly [Name in FormName]: (own: Selector, instruction: Instruction, i: number) => Place;
  } = {
    constant: (own, { dtype, value = 0 }) => own.#cell({ kind: "constant", value, isFloat: isFloat(dtype) }),
    scalar: (own, { index = 0 }) => own.#cell({ kind: "scalar", index }),
    load: (own, _, i) => own.#read(i, (input) => ({ kind: "input", input })),
    iota: (own, _, i) => own.#read(i, () => ({ kind: "constant", value: 0, isFloat: false })),
    uniform: (own, { index = 0 }) => {
      const target: Place = { kind: "block", id: own.#blockCount++ };
      own.#steps.push({ loop: drawUniform, target, args: [], raw: index });
      return target;
    },
    cast: (own, instruction) => own.#cast(instruction),
    where: (own, { args }) =>
      own.#apply(
        "where",
        args.map((arg) => own.#resolve(arg)),
      ),
  };

  /** The operand of load or iota i; `source` gives its cell if it is equal for all elements. */
  #read(i: number, source: (input: number) => CellSource): Place {
    const input = this.#inputs.get(i)!;
    const kind = this.#kinds[input];
    if (kind === "constant") return this.#cell(source(input));
    if (kind === "direct") return { kind: "input", input };
    const target: Place = { kind: "block", id: this.#blockCount++ };
    const list = kind === "periodic" ? this.#fills : this.#steps;
    list.push({ loop: loadInput, target, args: [], raw: input });
    return target;
  }

  #cast({ dtype, args }: Instruction): Place {
    const source = this.#expression.instructions[args[0]].dtype;
    const value = this.#resolve(args[0]);
    if (source === dtype) return value;
    if (isFloat(source) && dtype === "float32") return value;
    if (isFloat(dtype)) {
      const floats = isFloat(source) ? value : this.#apply("intToFloat", [value]);
      return dtype === "float32" ? floats : this.#apply(roundings[dtype], [floats]);
    }
    if (isFloat(source)) {
      const loops = {
        int32: "floatToInt",
        uint8: "floatToU8",
        int8: "floatToI8",
        bool: "floatToBool",
      } as const;
      return this.#apply(loops[dtype], [value]);
    }
    if (dtype === "bool") return this.#apply("intToBool", [value]);
    if (dtype === "int32" || source === "bool") return value;
    return this.#apply(dtype === "uint8" ? "intToU8" : "intToI8", [value]);
  }

  #unary(op: FunctionName, arg: number, isFloat: boolean): Place {
    const value = this.#resolve(arg);
    if (isFloat) return this.#apply(floatLoop(op), [value]);
    if (op === "isnan") return this.#cell({ kind: "constant", value: 0, isFloat: false });
    const loop = integerLoop(op);
    return loop === undefined ? value : this.#apply(loop, [value]);
  }

  #number(value: number): Place {
    return this.#cell({ kind: "constant", value, isFloat: true });
  }

  #arithmetic(
    op: FunctionName,
    i: number,
    [left, right]: readonly number[],
    isFloat: boolean,
  ): Place | undefined {
    if (isFloat) {
      if (op === "mul" && this.#uses[i] === 1 && !this.#isInvariant(left, right)) return undefined;
      if (op === "add") {
        if (this.#isPending(left)) return this.#fused("mulAdd", left, right);
        if (this.#isPending(right)) return this.#fused("mulAdd", right, left);
      }
      if (op === "sub" && this.#isPending(right)) return this.#fused("mulSubFrom", right, left);
      if (op === "pow") return this.#power(left, right);
    }
    const loop = isFloat ? floatLoop(op) : integerLoop(op)!;
    return this.#binary(loop, this.#resolve(left), this.#resolve(right));
  }

  /** True if both values are known to be cells. */
  #isInvariant(left: number, right: number): boolean {
    return this.#places[left]?.kind === "cell" && this.#places[right]?.kind === "cell";
  }

  /** A product deferred until its only use is known, for a multiply-add. */
  #isPending(i: number): boolean {
    return this.#places[i] === undefined;
  }

  #fused(loop: "mulAdd" | "mulSubFrom", product: number, other: number): Place {
    const addend = this.#block(this.#resolve(other));
    const { args } = this.#expression.instructions[product];
    const x = this.#resolve(args[0]);
    const y = this.#resolve(args[1]);
    if (y.kind === "cell") return this.#step(`${loop}Scalar`, [x, y, addend]);
    if (x.kind === "cell") return this.#step(`${loop}Scalar`, [y, x, addend]);
    return this.#step(loop, [x, y, addend]);
  }

  /** Small constant exponents become multiplications or a reciprocal, which are cheaper and exact. */
  #power(left: number, right: number): Place {
    const exponent = this.#expression.instructions[right];
    const x = this.#resolve(left);
    if (exponent.op === "constant") {
      switch (exponent.value) {
        case 0:
          return this.#number(1);
        case 1:
          return x;
        case 2:
          return this.#binary("mul", x, x);
        case 3:
          return this.#binary("mul", this.#binary("mul", x, x), x);
        case -1:
          return this.#apply("reciprocal", [x]);
      }
    }
    return this.#apply("pow", [x, this.#resolve(right)]);
  }
}
