/** The type of a kernel's record: everything about a kernel that is independent of the device. */
import type { ElementStorage } from "./bytes.js";
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

/** Cost of a call. Not part of the record, so that only pages that count costs load it. */
export interface KernelCost<Call> {
  /** 2 per multiply-add of a product, of floats or integers; 1 per element for each arithmetic instruction. */
  flops(call: Call): number;
  /** Bytes read and written; by default all distinct elements of the operands minus `untouched`. */
  bytes?(call: Call, stored: ElementStorage): number;
  /** Bytes of the operands that the kernel never accesses. */
  untouched?(call: Call, stored: ElementStorage): number;
}

export interface KernelRecord<Call> {
  /** Names of the fields with operands that are read. */
  readonly reads: readonly OperandField<Call>[];
  /** Names of the fields with operands that are written, the result first. */
  readonly writes: readonly OperandField<Call>[];
  /**
   * For a call that reduces over no elements (k = 0), the map that fills the result, with 0 or the reduction's identity; undefined for
   * other calls. The compiler attaches no epilogue to empty reductions. empty.ts applies this, so that devices never run an empty
   * reduction or a call with an empty result.
   */
  emptyReduction?(call: Call): MapCall | undefined;
}
