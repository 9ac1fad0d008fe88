/** Generic access to the operands of a kernel call, for code that handles every kernel alike. */
import type { DType } from "../core/dtype.js";
import { type Epilogue, epilogueMap, valueDType, type WithEpilogue } from "./epilogue.js";
import type { MapCall } from "./expression.js";
import type { Operand } from "./operand.js";
import { type KernelCall, recordOf } from "./table.js";

export interface CallOperands {
  readonly reads: readonly Operand[];
  readonly writes: readonly Operand[];
}

/** An operand of a call by its field's name: one, a list, or none. */
type Fields = Record<string, Operand | readonly Operand[] | undefined>;

export function operandsOf(call: KernelCall): CallOperands {
  const reads: Operand[] = [];
  const writes: Operand[] = [];
  eachOperand(call, (operand, isWritten) => (isWritten ? writes : reads).push(operand));
  return { reads, writes };
}

/** Calls `visit` with each operand, read ones first, without allocating lists. */
export function eachOperand(call: KernelCall, visit: (operand: Operand, isWritten: boolean) => void): void {
  const { reads, writes } = recordOf(call);
  const fields = call as unknown as Fields;
  for (const names of [reads, writes]) {
    for (const name of names) {
      const value = fields[name];
      if (value === undefined) continue;
      if ("slot" in value) visit(value, names === writes);
      else for (const operand of value) visit(operand, names === writes);
    }
    if (names === reads)
      for (const operand of (call as WithEpilogue).epilogue?.inputs ?? []) visit(operand, false);
  }
}

/** The same call with its slots renumbered. */
export function withSlots(call: KernelCall, rename: (slot: number) => number): KernelCall {
  const renamed = ({ slot, dtype, view }: Operand): Operand => ({ slot: rename(slot), dtype, view });
  const { reads, writes } = recordOf(call);
  const fields = call as unknown as Fields;
  const result = { ...call } as unknown as Fields & { epilogue: Epilogue };
  for (const names of [reads, writes]) {
    for (const name of names) {
      const value = fields[name];
      if (value !== undefined) result[name] = "slot" in value ? renamed(value) : value.map(renamed);
    }
  }
  const { epilogue } = call as WithEpilogue;
  if (epilogue) result.epilogue = { ...epilogue, inputs: epilogue.inputs.map(renamed) };
  return result as unknown as KernelCall;
}

/**
 * Splits a call into the kernel without its epilogue, and the map that applies the epilogue; undefined if there is none.
 * @param allocate returns a slot of as many elements as the output's slot, for values whose dtype differs from the output's.
 */
export function splitEpilogue(
  call: KernelCall,
  allocate: (dtype: DType, output: Operand) => number,
): readonly [KernelCall, MapCall | undefined] {
  const { epilogue, ...kernel } = call as KernelCall & WithEpilogue;
  if (epilogue === undefined) return [call, undefined];
  const [output] = operandsOf(call).writes;
  const dtype = valueDType(output, epilogue);
  if (dtype === output.dtype) return [kernel as KernelCall, epilogueMap(output, output, epilogue)];
  const value = { slot: allocate(dtype, output), dtype, view: output.view };
  return [{ ...kernel, output: value } as KernelCall, epilogueMap(value, output, epilogue)];
}
