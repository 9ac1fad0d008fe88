/** The instructions of fused elementwise expressions. */

export type UnaryOp =
  | "neg"
  | "abs"
  | "sign"
  | "exp"
  | "log"
  | "log1p"
  | "sqrt"
  | "rsqrt"
  | "reciprocal"
  | "sin"
  | "cos"
  | "tanh"
  | "sigmoid"
  | "erf"
  | "relu"
  | "floor"
  | "ceil"
  | "round"
  | "trunc"
  | "isnan"
  | "not";
export type BinaryOp =
  | "add"
  | "sub"
  | "mul"
  | "div"
  | "pow"
  | "mod"
  | "max"
  | "min"
  | "eq"
  | "ne"
  | "lt"
  | "le"
  | "gt"
  | "ge"
  | "and"
  | "or"
  | "xor"
  | "roundedMul"
  | "roundedDiv";

/**
 * - `load`: element of `inputs[index]` at the current position, converted to `dtype` of the operand.
 * - `constant`: `value`. `scalar`: runtime scalar number `index` of the Program.
 * - `uniform`: float32 in [0, 1) with 24 random bits, for the element whose *logical row-major index* in the
 *   call's shape is i: word i%4 of Philox4x32-10(counter = [i/4, 0, offset, 0], key = [seedLo, seedHi]), shifted
 *   right by 8 and scaled by 2^-24. seedLo, seedHi and offset are the int32 runtime scalars `index`, +1, +2.
 * - `iota`: int32, the element's index along dimension `index` of the call's shape.
 * - `cast`: to `dtype`; float → any integer type truncates towards zero and saturates at that type's bounds,
 *   NaN → 0; to uint8/int8 from integers wraps; to bool is `!= 0`, so NaN → true.
 * - arithmetic takes two operands of one dtype, float32 or int32. int32 add/sub/mul wrap; int32 div truncates and
 *   gives 0 for a zero divisor; mod has the sign of the divisor (as Python's %). float max/min propagate NaN.
 *   `round` is half-to-even. `relu` is `x < 0 ? 0 : x`, so NaN and -0 stay. `sign` of NaN and of ±0 is 0. `pow` gives 1
 *   for 1^y and x^0 even if the other is NaN, and for (-1)^±∞. `reciprocal`, `exp`… float32 only.
 * - The sign of a zero is that of IEEE 754 where the device's floats have one; of max(0, -0) it is open.
 * - `roundedMul`, `roundedDiv`: the float32 number nearest to a·b or a/b, where `mul` and `div` may be more or less exact.
 *   What int8 values come of has to be the same bits on every device. Operands and result are 0, infinite, NaN or normal.
 * - comparisons take any dtype (both the same) and give bool; and/or/xor/not work on bool (on int32: bitwise,
 *   except `not`). `isnan` gives bool.
 * - `where`: args [condition(bool), a, b].
 */
export type InstructionName =
  | UnaryOp
  | BinaryOp
  | "load"
  | "constant"
  | "scalar"
  | "uniform"
  | "iota"
  | "cast"
  | "where";
