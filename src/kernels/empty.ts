/**
 * Calls without work, which kernels need not know then: those that write nothing, and those that reduce over nothing and fill
 * their output with what their epilogue makes of 0.
 */
import type { DType } from "../core/dtype.js";
import { sizeOf } from "../core/shape.js";
import type {
  Instruction,
  KernelCall,
  MapCall,
  Operand,
  QconvCall,
  QmatmulCall,
  ReduceOp,
} from "./kernel.js";
import { operandsOf } from "./operands.js";

/** The call, a map in its place if it reduces over nothing, or undefined if it does nothing. */
export function withoutEmpty(call: KernelCall): KernelCall | undefined {
  switch (call.kernel) {
    case "gather":
    case "scatterAdd":
      // Indices are checked even where there is nothing to pick from.
      return isEmpty(call.index) ? undefined : call;
    case "map":
      return sizeOf(call.shape) === 0 ? undefined : call;
  }
  const [output] = operandsOf(call).writes;
  if (isEmpty(output)) return undefined;
  switch (call.kernel) {
    case "reduce":
      return sizeOf(call.shape) > 0 ? call : fill(output, identityOf(call.op, output.dtype));
    case "matmul":
      return isEmpty(call.a) ? new Fill(output, call.activation).plus(call.bias).call() : call;
    case "attention":
      return isEmpty(call.k) ? fill(output, 0) : call;
    case "conv":
    case "convGradInput":
    case "convGradWeight":
      return [call.input, call.weight, call.output].some(isEmpty) ? fill(output, 0) : call;
    case "pool":
      return isEmpty(call.input) ? fill(output, call.op === "max" ? Number.NEGATIVE_INFINITY : 0) : call;
    case "poolGrad":
      return isEmpty(call.gradOutput) ? fill(output, 0) : call;
    case "qmatmul":
      return isEmpty(call.input) ? zeroSums(call, 1) : call;
    case "qconv":
      return sizeOf([call.input.view.shape[1], ...call.kernelSize]) === 0 ? zeroSums(call, 1) : call;
  }
}

/** What a reduction over nothing gives. */
export function identityOf(op: ReduceOp, dtype: DType): number {
  const most = dtype === "int32" ? 2 ** 31 - 1 : Number.POSITIVE_INFINITY;
  if (op === "max") return dtype === "int32" ? -(2 ** 31) : -most;
  if (op === "min") return most;
  return { sum: 0, prod: 1, argmax: -1, argmin: -1 }[op];
}

function isEmpty({ view }: Operand): boolean {
  return sizeOf(view.shape) === 0;
}

function fill(output: Operand, value: number): MapCall {
  return new Fill(output, undefined, value).call();
}

/** The epilogue of a quantized product (see QuantizedEpilogue) whose accumulators are 0; `column` is the output's dimension of n. */
function zeroSums(call: QmatmulCall | QconvCall, column: number): MapCall {
  const { output, offsets, scales, inputScales, bias, activation, zeroPoint = 0 } = call;
  const along = (operand: Operand | undefined, dim: number) => operand && spread(operand, output, dim);
  if (output.dtype === "int32") return new Fill(output).plus(along(offsets, column)).call();
  if (output.dtype === "int8") {
    const sums = new Fill(output, undefined, 0, "int32").plus(along(offsets, column)).to("float32");
    const levels = sums.by("roundedMul", along(scales, column)).apply("round").by("add", zeroPoint);
    const least = activation === "relu" ? zeroPoint : -128;
    return levels.by("max", least).by("min", 127).to("int8").call();
  }
  // With groups of 4 bits there are no sums at all.
  const sums = new Fill(output, activation, 0, "int32").plus(along(offsets, column)).to("float32");
  const scaled =
    call.format.bits === 4 ? sums : sums.by("mul", along(scales, column)).by("mul", along(inputScales, 0));
  return scaled.plus(along(bias, column)).call();
}

/** An operand of one dimension as one of the output's shape. */
function spread(operand: Operand, { view: { shape } }: Operand, dim: number): Operand {
  const { strides, offset } = operand.view;
  return { ...operand, view: { shape, strides: shape.map((_, d) => (d === dim ? strides[0] : 0)), offset } };
}

/** A map that begins with a number. */
class Fill {
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
