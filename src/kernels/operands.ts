/** Which operands a kernel call reads and writes, for those who look at calls from outside. */
import type { KernelCall, Operand } from "./kernel.js";

export interface CallOperands {
  readonly reads: readonly Operand[];
  readonly writes: readonly Operand[];
}

/** The fields of calls that hold operands or lists of them. */
const fields = [
  ...["inputs", "outputs", "input", "output", "a", "b", "bias", "q", "k", "v", "mask", "weight"],
  ...["keyLengths", "queryPositions"],
  ...["scales", "inputScales", "offsets", "gradInput", "gradOutput", "source", "index"],
];

/** The same call over other slots. */
export function withSlots(call: KernelCall, rename: (slot: number) => number): KernelCall {
  const renamed = ({ slot, dtype, view }: Operand): Operand => ({ slot: rename(slot), dtype, view });
  const result: Record<string, unknown> = { ...call };
  for (const field of fields) {
    const value = result[field] as Operand | readonly Operand[] | undefined;
    if (value !== undefined)
      result[field] = Array.isArray(value) ? value.map(renamed) : renamed(value as Operand);
  }
  return result as unknown as KernelCall;
}

export function operandsOf(call: KernelCall): CallOperands {
  switch (call.kernel) {
    case "map":
      return { reads: call.inputs, writes: call.outputs };
    case "reduce":
      return { reads: call.inputs, writes: [call.output] };
    case "matmul":
      return { reads: call.bias ? [call.a, call.b, call.bias] : [call.a, call.b], writes: [call.output] };
    case "attention": {
      const { q, k, v, mask, keyLengths, queryPositions, output } = call;
      const reads = [q, k, v, mask, keyLengths, queryPositions].filter((operand) => operand !== undefined);
      return { reads, writes: [output] };
    }
    case "conv":
      return { reads: [call.input, call.weight], writes: [call.output] };
    case "convGradInput":
      return { reads: [call.output, call.weight], writes: [call.input] };
    case "convGradWeight":
      return { reads: [call.input, call.output], writes: [call.weight] };
    case "qmatmul":
    case "qconv": {
      const { input, weight, scales, inputScales, offsets, bias, output } = call;
      const reads = [input, weight, scales, inputScales, offsets, bias].filter(
        (operand) => operand !== undefined,
      );
      return { reads, writes: [output] };
    }
    case "pool":
      return { reads: [call.input], writes: [call.output] };
    case "poolGrad":
      return {
        reads: call.input ? [call.input, call.gradOutput] : [call.gradOutput],
        writes: [call.gradInput],
      };
    case "gather":
      return { reads: [call.source, call.index], writes: [call.output] };
    case "scatterAdd":
      return { reads: [call.source, call.index, call.output], writes: [call.output] };
  }
}
