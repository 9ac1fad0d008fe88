/** Reads and writes elements of operands as numbers: buffers of 16-bit floats contain bits. */
import { type HalfDType, isHalf, type TypedArray } from "../../core/dtype.js";
import { decodeHalves, encodeHalves } from "../../core/half.js";
import type { Operand } from "../../kernels/operand.js";

const tables = new Map<HalfDType, Float32Array>();

/** The values of all 65536 bit patterns of a 16-bit float. */
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

/** A function from buffer position to element of the operand. */
export function reader(
  { slot, dtype }: Operand,
  memory: (slot: number) => TypedArray,
): (place: number) => number {
  const data = memory(slot);
  if (!isHalf(dtype)) return (place) => data[place];
  const table = tableOf(dtype);
  return (place) => table[data[place]];
}

/** The stored form of values that the operand's dtype represents exactly: bits for 16-bit floats. */
export function stored({ dtype }: Operand, values: Float64Array): ArrayLike<number> {
  return isHalf(dtype) ? encodeHalves(dtype, Float32Array.from(values)) : values;
}
