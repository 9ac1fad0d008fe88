/** Calls without work, which devices need not know: those that write nothing, and those that reduce over nothing. */
import { isEmpty } from "./operand.js";
import { operandsOf } from "./operands.js";
import { type KernelCall, recordOf } from "./table.js";

/** The call, a map in its place if it reduces over nothing, or undefined if it does nothing. */
export function withoutEmpty(call: KernelCall): KernelCall | undefined {
  const [result] = operandsOf(call).writes;
  return isEmpty(result) ? undefined : (recordOf(call).overNothing?.(call) ?? call);
}
