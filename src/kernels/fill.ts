/** Maps that begin with a number: what takes the place of a call that reduces over nothing. */
import type { DType } from "../core/dtype.js";
import type { Instruction, MapCall } from "./expression.js";
import type { Operand } from "./operand.js";

/** A map that writes one number everywhere. */
export function fill(output: Operand, value: number): MapCall {
  return new Fill(output, undefined, value).call();
}

/** Builds a map that begins with a number and goes on with what an epilogue does to it. */
export class Fill {
  readonly #inputs: Operand[] = [];
  readonly #instructions: Instruction[];

  readonly #output: Operand;
  readonly #activation: "relu" | undefined;

  constructor(output: Operand, activation?: "relu", value = 0, dtype: DType = output.dtype) {
    this.#output = output;
    this.#activation = activation;
    this.#instructions = [{ op: "constant", dtype, args: [], value }];
  }

  get #last(): Instruction {
    return this.#instructions[this.#instructions.length - 1];
  }

  by(op: "add" | "mul" | "max" | "min" | "roundedMul", other: Operand | number | undefined): this {
    if (other === undefined) return this;
    const at = this.#instructions.length;
    const { dtype } = this.#last;
    this.#instructions.push(
      typeof other === "number"
        ? { op: "constant", dtype, args: [], value: other }
        : { op: "load", dtype, args: [], index: this.#inputs.push(other) - 1 },
      { op, dtype, args: [at - 1, at] },
    );
    return this;
  }

  plus(other: Operand | undefined): this {
    return this.by("add", other);
  }

  apply(op: "round" | "relu"): this {
    this.#instructions.push({ op, dtype: this.#last.dtype, args: [this.#instructions.length - 1] });
    return this;
  }

  to(dtype: DType): this {
    if (dtype !== this.#last.dtype)
      this.#instructions.push({ op: "cast", dtype, args: [this.#instructions.length - 1] });
    return this;
  }

  call(): MapCall {
    if (this.#activation) this.apply("relu");
    const instructions = this.#instructions;
    const expression = { instructions, results: [instructions.length - 1] };
    return {
      kernel: "map",
      shape: this.#output.view.shape,
      inputs: this.#inputs,
      outputs: [this.#output],
      expression,
    };
  }
}
