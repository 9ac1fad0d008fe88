/** The form of a kernel's record: all that is known about a kernel outside of the devices that implement it. */
import type { Stored } from "./bytes.js";
import type { MapCall } from "./expression.js";
import type { Operand } from "./operand.js";

/** The fields of a call that hold an operand or a list of them. */
export type OperandField<Call> = Call extends unknown
  ? {
      [Field in keyof Call & string]-?: NonNullable<Call[Field]> extends Operand | readonly Operand[]
        ? Field
        : never;
    }[keyof Call & string]
  : never;

export interface KernelRecord<Call> {
  /** Fields of the operands that are read; a call may lack those that are optional. */
  readonly reads: readonly OperandField<Call>[];
  /** Fields of the operands that are written, the result first. */
  readonly writes: readonly OperandField<Call>[];
  /** 2 per multiply-add of a product, of floats or integers; 1 per element for each arithmetic instruction. */
  flops(call: Call): number;
  /** Bytes that the call has to read and write; by default every distinct element of its operands, less `untouched`. */
  bytes?(call: Call, stored: Stored): number;
  /** Bytes of its operands that it does not have to touch. */
  untouched?(call: Call, stored: Stored): number;
  /**
   * The map that stands in for a call that reduces over nothing: it fills the result with what the epilogue makes of an empty
   * sum. undefined for all other calls. Devices never get such a call, nor one whose result is empty.
   */
  overNothing?(call: Call): MapCall | undefined;
}
