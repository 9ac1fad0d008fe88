/** Elements of operands as numbers: buffers of halves hold bits. */
import { type HalfDType, isHalf, type TypedArray } from "../../core/dtype.js";
import { decodeHalves, encodeHalves } from "../../core/half.js";
import type { Operand } from "../../kernels/operand.js";

const tables = new Map<HalfDType, Float32Array>();

/** The values of all halves, by their bits. */
function tableOf(dtype: HalfDType): Float32Array {
  let table = tables.get(dtype);
  if (table === undefined) {
    table = decodeHalves(
      dtype,
      Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits),
    );
    tables.set(dtype, table);
  }
  return table;
}

/** Gives an operand's elements by their places in its buffer. */
export function reader(
  { slot, dtype }: Operand,
  memory: (slot: number) => TypedArray,
): (place: number) => number {
  const data = memory(slot);
  if (!isHalf(dtype)) return (place) => data[place];
  const table = tableOf(dtype);
  return (place) => table[data[place]];
}

/** What a buffer holds for a number that its dtype can be. */
export function stored({ dtype }: Operand, values: Float64Array): ArrayLike<number> {
  return isHalf(dtype) ? encodeHalves(dtype, Float32Array.from(values)) : values;
}
