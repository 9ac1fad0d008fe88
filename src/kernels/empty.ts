/** Removes calls with empty results or empty reductions before devices see them. */
import { isEmpty } from "./operand.js";
import { operandsOf } from "./operands.js";
import { type KernelCall, recordOf } from "./table.js";

/** The call that devices run instead: for an empty reduction the map that fills its result; undefined if the result has no elements. */
export function withoutEmpty(call: KernelCall): KernelCall | undefined {
  const [result] = operandsOf(call).writes;
  return isEmpty(result) ? undefined : (recordOf(call).emptyReduction?.(call) ?? call);
}
