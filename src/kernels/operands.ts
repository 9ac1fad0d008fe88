/** The operands of kernel calls, for code that looks at calls from outside. */
import type { Operand } from "./operand.js";
import { type KernelCall, recordOf } from "./table.js";

export interface CallOperands {
  readonly reads: readonly Operand[];
  readonly writes: readonly Operand[];
}

/** An operand of a call by its field's name: one, a list, or none. */
type Fields = Record<string, Operand | readonly Operand[] | undefined>;

export function operandsOf(call: KernelCall): CallOperands {
  const { reads, writes } = recordOf(call);
  const fields = call as unknown as Fields;
  return { reads: collect(fields, reads), writes: collect(fields, writes) };
}

function collect(call: Fields, names: readonly string[]): readonly Operand[] {
  const list: Operand[] = [];
  for (const name of names) {
    const value = call[name];
    if (value === undefined) continue;
    if ("slot" in value) list.push(value);
    else if (names.length === 1) return value;
    else list.push(...value);
  }
  return list;
}

/** The same call over other slots. */
export function withSlots(call: KernelCall, rename: (slot: number) => number): KernelCall {
  const renamed = ({ slot, dtype, view }: Operand): Operand => ({ slot: rename(slot), dtype, view });
  const { reads, writes } = recordOf(call);
  const fields = call as unknown as Fields;
  const result: Fields = { ...fields };
  for (const names of [reads, writes]) {
    for (const name of names) {
      const value = fields[name];
      if (value !== undefined) result[name] = "slot" in value ? renamed(value) : value.map(renamed);
    }
  }
  return result as unknown as KernelCall;
}
