/**
 * The kernel language: what the compiler hands to devices. It is small on purpose; every public op lowers to
 * it and every device implements all of it.
 *
 * A Program is a list of kernel calls over numbered slots. Slots 0..leafCount-1 are buffers that the caller
 * supplies at each run (inputs, parameters updated in place, fresh results); the others are temporaries that
 * lie in one arena at planned byte offsets and may share bytes when their lives do not overlap.
 */
import type { DType } from "../core/dtype.js";
import type { Shape } from "../core/shape.js";
import type { View } from "../core/view.js";

/** A slot read or written through a strided view (in elements of `dtype`). */
export interface Operand {
  readonly slot: number;
  readonly dtype: DType;
  readonly view: View;
}

/* ---- fused elementwise expressions ---------------------------------------------------------------- */

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
 * One instruction of an expression in SSA form; `args` are indices of earlier instructions.
 *
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
export interface Instruction {
  readonly op: UnaryOp | BinaryOp | "load" | "constant" | "scalar" | "uniform" | "iota" | "cast" | "where";
  readonly dtype: DType;
  readonly args: readonly number[];
  readonly value?: number;
  readonly index?: number;
}

export interface Expression {
  readonly instructions: readonly Instruction[];
  /** Instructions whose values leave the expression, one per output. */
  readonly results: readonly number[];
}

/** Most loads and instructions one expression may have; the fuse pass splits larger ones. */
export const maxExpressionInputs = 16;
export const maxExpressionInstructions = 96;

/** outputs[k] = results[k], for every element of `shape`. All operands' views have this shape. */
export interface MapCall {
  readonly kernel: "map";
  readonly shape: Shape;
  readonly inputs: readonly Operand[];
  readonly outputs: readonly Operand[];
  readonly expression: Expression;
}

export type ReduceOp = "sum" | "max" | "min" | "prod" | "argmax" | "argmin";

/**
 * Reduces the expression's one result over `axes` of `shape`. The output's view has `shape` with those axes 1.
 * Empty reductions give the identity (0, -Infinity, +Infinity, 1; for int32 its bounds), and -1 for argmax/argmin, which take one axis, give int32,
 * the first of equal values; NaN counts as the largest (smallest) value. max/min propagate NaN. float32 sums
 * must not lose accuracy with length: pairwise, several accumulators or float64.
 */
export interface ReduceCall {
  readonly kernel: "reduce";
  readonly op: ReduceOp;
  readonly shape: Shape;
  readonly axes: readonly number[];
  readonly inputs: readonly Operand[];
  readonly expression: Expression;
  readonly output: Operand;
}

/* ---- products -------------------------------------------------------------------------------------- */

/** [...batch, m, k] × [...batch, k, n] → [...batch, m, n]; float32. Any strides (0 broadcasts batches). */
export interface MatmulCall {
  readonly kernel: "matmul";
  readonly a: Operand;
  readonly b: Operand;
  readonly output: Operand;
  /** Added to every row; its view has the output's shape (so stride 0 for all but the last dimension). */
  readonly bias?: Operand;
  /** Applied last. */
  readonly activation?: "relu";
}

/**
 * softmax(scale · q · kᵀ + mask) · v over the positions that are visible: q [...batch, L, E], k [...batch, S, E],
 * v [...batch, S, D], mask [...batch, L, S] → output [...batch, L, D]; any strides. E and S are at least 1.
 *
 * - `mask`: bool hides where it is false, float32 is added to the scores.
 * - `keyLengths`, `queryPositions`: int32 [...batch]. Of the S keys so many exist, limited to 0..S (default S); row i has the position
 *   `queryPositions` + i (default 0), which may be beyond S. `causal` hides the keys behind a row's position; `window` (at least 1)
 *   those at or before position − window.
 * - A row that sees nothing (of which all scores are -Infinity) is 0; one of which a score is NaN or +Infinity is NaN.
 * - Keys and values behind the length may hold anything. Other hidden positions have the weight 0: if a value there is not finite,
 *   the result is unspecified (0 · ∞ = NaN).
 * - The work grows with the keys that exist, not with S, on devices that can tell.
 */
export interface AttentionCall {
  readonly kernel: "attention";
  readonly q: Operand;
  readonly k: Operand;
  readonly v: Operand;
  readonly mask?: Operand;
  readonly keyLengths?: Operand;
  readonly queryPositions?: Operand;
  readonly output: Operand;
  readonly scale: number;
  readonly causal: boolean;
  readonly window?: number;
}

export interface ConvGeometry {
  /** [height, width] each. */
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number];
  readonly dilation: readonly [number, number];
  readonly groups: number;
}

/**
 * 2-D cross-correlation, float32: input [N, C, H, W], weight [O, C/groups, KH, KW], output [N, O, OH, OW] (logical
 * order; any strides). `convGradInput` computes the input operand from weight and output, `convGradWeight` the
 * weight operand from input and output: the two gradients, and each other's derivatives.
 */
export interface ConvCall {
  readonly kernel: "conv" | "convGradInput" | "convGradWeight";
  readonly input: Operand;
  readonly weight: Operand;
  readonly output: Operand;
  readonly geometry: ConvGeometry;
}

export interface PoolGeometry {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number];
  /** average only: whether padding counts in the divisor (PyTorch's default is true). */
  readonly countIncludePad: boolean;
}

/**
 * input [N, C, H, W] → output [N, C, OH, OW]. `argmax` gives int32 positions h·W + w of the first maximum in
 * scan order (NaN counts as the maximum).
 */
export interface PoolCall {
  readonly kernel: "pool";
  readonly op: "max" | "average" | "argmax";
  readonly input: Operand;
  readonly output: Operand;
  readonly geometry: PoolGeometry;
}

/** gradInput from gradOutput; for `max`, `input` tells the position of each window's first maximum. */
export interface PoolGradCall {
  readonly kernel: "poolGrad";
  readonly op: "max" | "average";
  readonly input?: Operand;
  readonly gradOutput: Operand;
  readonly gradInput: Operand;
  readonly geometry: PoolGeometry;
}

/* ---- int8 products --------------------------------------------------------------------------------- */

/**
 * How weights lie in an int32 buffer of one dimension, four bytes to an element; the layouts are in packed.ts. Values of 8 bits are −128..127, of 7
 * bits −63..63, of 4 bits −7..7 with a scale for every `groupSize` of them along k.
 */
export type WeightFormat =
  | { readonly bits: 8 | 7; readonly groupSize?: undefined }
  | { readonly bits: 4; readonly groupSize: number };

/**
 * What happens to the accumulators of a quantized product. They are int32 and exact: every device has the same bits.
 *
 * - output int32: the accumulators, plus `offsets`.
 * - output float32: float32(accumulator + offset) · scale · inputScale, plus bias, then the activation.
 * - output int8: float32(accumulator + offset) · scale, one product rounded to float32 and then to the nearest whole number
 *   (halves to even), plus `zeroPoint`, limited to −128..127, or from `zeroPoint` on for "relu". NaN gives `zeroPoint`.
 */
export interface QuantizedEpilogue {
  /** float32 [n], stride 0 where all are equal; absent for an int32 output. */
  readonly scales?: Operand;
  /** int32 [n]: what the input's zero point and the bias add to the accumulators. */
  readonly offsets?: Operand;
  /** float32 [n], for a float32 output. */
  readonly bias?: Operand;
  readonly activation?: "relu";
  readonly zeroPoint?: number;
}

/**
 * [m, k] × weight [n, k]ᵀ → [m, n]. The input is int8; or float32, where only the weights are quantized: then the sum is
 * one of floats, Σ x·w · scale + bias (bits 8 and 7, output float32, no inputScales or offsets).
 */
export interface QmatmulCall extends QuantizedEpilogue {
  readonly kernel: "qmatmul";
  readonly input: Operand;
  /** Packed; [n, k] is told by output and input. */
  readonly weight: Operand;
  readonly format: WeightFormat;
  /**
   * float32 [m]: scales of the input's rows. With 4 bits [m, k/groupSize] and always there: the output is
   * Σ over groups of float32(the group's accumulator) · inputScale · scale, `scales` are [⌈n/8⌉, k/groupSize, 8], and output is
   * float32.
   */
  readonly inputScales?: Operand;
  readonly output: Operand;
}

/**
 * 2-D cross-correlation of an int8 input [N, C, H, W], any strides, with packed weights [O, C/groups, KH, KW] of 8 or 7 bits
 * → [N, O, OH, OW]. Around the input lie values `inputZeroPoint`.
 */
export interface QconvCall extends QuantizedEpilogue {
  readonly kernel: "qconv";
  readonly input: Operand;
  readonly weight: Operand;
  readonly format: WeightFormat;
  readonly kernelSize: readonly [number, number];
  readonly geometry: ConvGeometry;
  readonly inputZeroPoint: number;
  /** float32 [N]: scales of the images. */
  readonly inputScales?: Operand;
  readonly output: Operand;
}

/* ---- indexing --------------------------------------------------------------------------------------- */

/** How an index outside its axis is reported: `crossEntropy: label 7 of 3 classes`. */
export interface IndexReport {
  /** The function that the user called. */
  readonly op: string;
  /** What the index is called: index, label. */
  readonly item: string;
  /** What it counts: rows, classes. */
  readonly unit: string;
}

/**
 * For every position p of `shape`: output[p] = source[p, then index[p] steps of axisStride]. All views have
 * this shape; source's strides are 0 along the dimensions that the index replaces. Covers embedding rows and
 * torch.gather. An index outside 0..axisSize-1 makes the run fail (see Device.run), except for `ignored`, for which the output
 * is unspecified.
 */
export interface GatherCall {
  readonly kernel: "gather";
  readonly shape: Shape;
  readonly source: Operand;
  readonly index: Operand;
  readonly output: Operand;
  readonly axisStride: number;
  readonly axisSize: number;
  readonly ignored?: number;
  readonly report?: IndexReport;
}

/**
 * The mirror: output[p, then index[p] steps of axisStride] += source[p], float32 or int32; the output is initialised
 * before. For the index `ignored` nothing is added.
 */
export interface ScatterAddCall {
  readonly kernel: "scatterAdd";
  readonly shape: Shape;
  readonly source: Operand;
  readonly index: Operand;
  readonly output: Operand;
  readonly axisStride: number;
  readonly axisSize: number;
  readonly ignored?: number;
  readonly report?: IndexReport;
}

export type KernelCall =
  | MapCall
  | ReduceCall
  | MatmulCall
  | AttentionCall
  | ConvCall
  | QmatmulCall
  | QconvCall
  | PoolCall
  | PoolGradCall
  | GatherCall
  | ScatterAddCall;

/* ---- Programs --------------------------------------------------------------------------------------- */

export interface SlotInfo {
  readonly dtype: DType;
  /** Elements. */
  readonly size: number;
  /** Byte offset in the arena (multiple of 64); -1 for leaves. */
  readonly offset: number;
}

export interface Cost {
  /** Floating-point operations: 2·m·n·k for products, 1 per element for each arithmetic instruction. */
  readonly flops: number;
  /** Bytes that the kernels read and write, counting each operand's elements once per call. */
  readonly bytes: number;
}

export interface Program {
  readonly calls: readonly KernelCall[];
  readonly slots: readonly SlotInfo[];
  readonly leafCount: number;
  /**
   * Leaves before this one are inputs: those that are written are updated in place, after every check of an index, and keep
   * their values if the run fails. The others are fresh results. By default there are only results.
   */
  readonly inputCount?: number;
  /** Runtime scalars: values that change from run to run without recompiling. */
  readonly scalars: readonly DType[];
  readonly arenaBytes: number;
  readonly cost: Cost;
  /** Of calls that differ from an earlier one in their slots only, as those of a network's blocks do, that one. */
  readonly alike?: ReadonlyMap<KernelCall, KernelCall>;
  /** Per call, the module that it belongs to; only in the Programs of a profile. Copies at the end have none. */
  readonly origins?: readonly (string | undefined)[];
}
