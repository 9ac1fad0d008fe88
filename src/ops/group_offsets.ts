/**
 * Zero points and minimums of 4-bit weights. Products sum x · v, where v = q − 8 are the packed numbers; a group's zero point z or
 * minimum m adds its part of w = (q − z) · s = v · s + (8 − z) · s, or w = q · s + m = v · s + (8 · s + m), times the exact sum of x.
 */
import { DTypeError, ShapeError } from "../core/errors.js";
import { formatShape } from "../core/shape.js";
import type { Tensor } from "../graph/tensor.js";
import { add, mul, sub } from "./elementwise.js";
import { matmul } from "./linalg.js";
import { cast } from "./promotion.js";
import { sum } from "./reduce.js";
import { permute, reshape, transpose } from "./reshape.js";
import { narrow } from "./slice.js";

/** What q = v + 8 is above the packed numbers v. */
const middle = 8;

/** Of the groups of 4-bit weights, whose stored numbers q = v + 8 are 0..15; at most one of the two. */
export interface GroupOffsets {
  /** float32 [out, in/groupSize], whole numbers: the weights are (q − zero point) · scale. */
  readonly zeroPoints?: Tensor;
  /** float32 [out, in/groupSize]: the weights are q · scale + minimum. */
  readonly minimums?: Tensor;
}

/** @throws DTypeError, ShapeError unless the offsets are float32 [n, groups]. */
export function requireOffsets(
  op: string,
  { zeroPoints, minimums }: GroupOffsets,
  n: number,
  groups: number,
): void {
  for (const [name, tensor] of Object.entries({ zeroPoints, minimums })) {
    if (tensor === undefined) continue;
    if (tensor.dtype !== "float32") throw new DTypeError(`${name} are float32, got ${tensor.dtype}`, { op });
    if (tensor.rank !== 2 || tensor.shape[0] !== n || tensor.shape[1] !== groups) {
      throw new ShapeError(
        `${name} of shape ${formatShape(tensor.shape)} do not fit, [${n}, ${groups}] is needed`,
        {
          op,
        },
      );
    }
  }
}

/**
 * What the offsets add to the product, [m, n]: the sums of each group of x, int8 [m, k], are exact int32. `scales` is what
 * `groupScales` returns, `inputScales` float32 [m, groups].
 */
export function offsetTerm(
  x: Tensor,
  scales: Tensor,
  inputScales: Tensor,
  { zeroPoints, minimums }: GroupOffsets,
  n: number,
): Tensor {
  const [panels, groups, rows] = scales.shape;
  const [m, k] = x.shape;
  const own = narrow(reshape(permute(scales, [0, 2, 1]), [panels * rows, groups]), 0, 0, n);
  const factors = zeroPoints ? mul(sub(middle, zeroPoints), own) : add(mul(own, middle), minimums!);
  const sums = sum(cast(reshape(x, [m, groups, k / groups]), "int32"), 2);
  return matmul(mul(cast(sums, "float32"), reshape(inputScales, [m, groups])), transpose(factors, 0, 1));
}
