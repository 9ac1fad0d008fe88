/** Packed weights as float32 again, computed on the device: for gradients of what was multiplied with them. */
import { type Shape, sizeOf } from "../core/shape.js";
import type { Tensor } from "../graph/tensor.js";
import type { WeightFormat } from "../kernels/kernel.js";
import { panelRows, stepLength, storedOffset } from "../kernels/packed.js";
import { expand } from "./broadcast.js";
import { eq, ge, lt, where } from "./comparison.js";
import { add, div, mod, mul, sub } from "./elementwise.js";
import type { GroupOffsets } from "./group_offsets.js";
import { permute, reshape } from "./reshape.js";
import { narrow, pad } from "./slice.js";
import { constant, iota } from "./source.js";

/** Words [..., 1] with a part of `bits` for each position of the last dimension, the lowest first: float32 0 … 2^bits − 1. */
function partsOf(words: Tensor, shape: Shape, bits: number): Tensor {
  const { device } = words;
  const whole = expand(words, shape);
  const position = iota(shape.length - 1, shape, device);
  const last = shape[shape.length - 1] - 1;
  let unit = constant(1, shape, "int32", device);
  for (let i = 1; i <= last; i++) unit = where(eq(position, i), 2 ** (bits * i), unit);
  // Up to the part's end less up to its start: a few bits and zeros, which float32 divides exactly. The last one has the word's sign.
  const next = where(eq(position, last), 1, mul(unit, 2 ** bits));
  const upTo = where(eq(position, last), whole, mod(whole, next));
  const part = div(sub(upTo, mod(whole, unit)), unit);
  return where(lt(part, 0), add(part, 2 ** bits), part);
}

/**
 * The float32 matrix [n, k] that a packed weight of a linear layer stands for: whole numbers times `scales`, float32 [n], or for 4 bits
 * what `groupScales` returns, and of these with the zero points or minimums of the groups. Not differentiable.
 */
export function dequantizeWeight(
  packed: Tensor,
  [n, k]: readonly [number, number],
  format: WeightFormat,
  scales: Tensor,
  { zeroPoints, minimums }: GroupOffsets = {},
): Tensor {
  const panels = Math.ceil(n / panelRows);
  if (format.bits === 4) {
    // A word has eight values: those of 4 to 7 in the high halves of its bytes.
    const steps = k / (2 * stepLength);
    const parts = partsOf(reshape(packed, [panels, steps, panelRows, 1]), [panels, steps, panelRows, 8], 4);
    const inOrder = permute(reshape(parts, [panels, steps, panelRows, stepLength, 2]), [0, 2, 1, 4, 3]);
    const grouped = reshape(inOrder, [panels, panelRows, k / format.groupSize, format.groupSize]);
    const factors = reshape(permute(scales, [0, 2, 1]), [panels, panelRows, k / format.groupSize, 1]);
    const ofPanels = (offsets: Tensor) =>
      reshape(
        pad(offsets, [
          [0, panels * panelRows - n],
          [0, 0],
        ]),
        factors.shape,
      );
    const values = minimums
      ? add(mul(grouped, factors), ofPanels(minimums))
      : mul(sub(grouped, zeroPoints ? ofPanels(zeroPoints) : 8), factors);
    return narrow(reshape(values, [panels * panelRows, k]), 0, 0, n);
  }
  const steps = sizeOf(packed.shape) / (panels * panelRows);
  const parts = partsOf(reshape(packed, [panels, steps, panelRows, 1]), [panels, steps, panelRows, 4], 8);
  const signed = where(ge(parts, 128), sub(parts, 256), parts);
  const rows = reshape(permute(signed, [0, 2, 1, 3]), [panels * panelRows, steps * stepLength]);
  const values = sub(narrow(narrow(rows, 0, 0, n), 1, 0, k), storedOffset(format));
  return mul(values, reshape(scales, [n, 1]));
}
