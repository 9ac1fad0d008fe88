/**
 * Zero points and minimums of 4-bit weights, as one factor for the kernel: products sum x · v, where v is the stored number q less the
 * format's offset, and each group adds its `minimums` times the exact sum of x. With zero points z, v = q − 8:
 * w = (q − z) · s = v · s + (8 − z) · s. With minimums m, v = q: w = q · s + m.
 */
import { ArgumentError, DTypeError, ShapeError } from "../core/errors.js";
import { formatShape } from "../core/shape.js";
import type { QuantizedFormat } from "../core/weight_format.js";
import type { Tensor } from "../graph/tensor.js";
import { storedOffset } from "../kernels/packed.js";
import { mul, sub } from "./elementwise.js";
import { groupScales } from "./group_scales.js";
import { reshape } from "./reshape.js";

/** Offsets of the groups of 4-bit weights, whose stored numbers q are 0..15; at most one of the two. */
export interface GroupOffsets {
  /** float32 [out, in/groupSize], whole numbers: the weights are (q − zero point) · scale. */
  readonly zeroPoints?: Tensor;
  /** float32 [out, in/groupSize]: the weights are q · scale + minimum. */
  readonly minimums?: Tensor;
}

/** A format with an offset, and the factors of the sums of x in the kernel: float32, in the order of `groupScales`. */
export interface KernelOffsets {
  readonly format: QuantizedFormat;
  readonly minimums: Tensor;
}

/**
 * @throws DTypeError, ShapeError unless the offsets are float32 [out, in/groupSize]; ArgumentError for both at once, and for weights
 * that are not of 4 bits or have offsets already.
 */
export function requireOffsets(
  op: string,
  { zeroPoints, minimums }: GroupOffsets,
  { format, shape: [n, k] }: { readonly format: QuantizedFormat; readonly shape: readonly number[] },
): void {
  if (format.bits !== 4 || format.offset || (zeroPoints && minimums)) {
    throw new ArgumentError("zero points, or else minimums, belong to weights of 4 bits", { op });
  }
  const groups = k / format.groupSize;
  for (const [name, tensor] of Object.entries({ zeroPoints, minimums })) {
    if (tensor === undefined) continue;
    if (tensor.dtype !== "float32") throw new DTypeError(`${name} are float32, got ${tensor.dtype}`, { op });
    if (tensor.rank !== 2 || tensor.shape[0] !== n || tensor.shape[1] !== groups) {
      throw new ShapeError(
        `${name} of shape ${formatShape(tensor.shape)} do not fit, [${n}, ${groups}] is needed`,
        { op },
      );
    }
  }
}

/** Offsets that have been checked, as the kernel reads them; `scales` in the order of `groupScales`. */
export function kernelOffsets(
  { zeroPoints, minimums }: GroupOffsets,
  format: QuantizedFormat,
  scales: Tensor,
): KernelOffsets {
  if (minimums)
    return { format: { ...format, offset: "minimum" } as QuantizedFormat, minimums: groupScales(minimums) };
  const offset = { ...format, offset: "zeroPoint" } as QuantizedFormat;
  const shifts = sub(storedOffset(offset), groupScales(zeroPoints!));
  return { format: offset, minimums: mul(shifts, reshape(scales, shifts.shape)) };
}
