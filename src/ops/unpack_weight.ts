/** Dequantizes packed weights to float32 on the device, for the gradient of the product's input. */
import { type Shape, sizeOf } from "../core/shape.js";
import type { Tensor } from "../graph/tensor.js";
import type { QuantizedFormat } from "../kernels/kernel.js";
import { panelRows, stepLength, storedOffset } from "../kernels/packed.js";
import { expand } from "./broadcast.js";
import { eq, ge, lt, where } from "./comparison.js";
import { add, div, mod, mul, round, sub } from "./elementwise.js";
import { permute, reshape, transpose } from "./reshape.js";
import { narrow } from "./slice.js";
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

/** Packed words [..., steps, rows, 1] as the numbers stored in them, less the format's offset: float32 [..., steps, rows, values]. */
export function unpackWords(words: Tensor, format: QuantizedFormat): Tensor {
  const lead = words.shape.slice(0, -1);
  if (format.bits === 4) {
    // A word has eight values; values 4 to 7 are in the high halves of its bytes.
    const parts = partsOf(words, [...lead, 2 * stepLength], 4);
    const pairs = reshape(parts, [...lead, stepLength, 2]);
    const inOrder = reshape(transpose(pairs, -1, -2), parts.shape);
    return sub(inOrder, storedOffset(format));
  }
  const parts = partsOf(words, [...lead, stepLength], 8);
  return sub(where(ge(parts, 128), sub(parts, 256), parts), storedOffset(format));
}

/** Stored numbers [..., groups, groupSize] as weights; scales and minimums [..., groups, 1]. */
export function scaledGroups(
  values: Tensor,
  format: QuantizedFormat,
  scales: Tensor,
  minimums: Tensor | undefined,
): Tensor {
  if (minimums === undefined) return mul(values, scales);
  if (format.offset === "minimum") return add(mul(values, scales), minimums);
  // The minimums are (8 − zero point) · scale: the zero points are whole again, so that weights have the bits that files mean.
  const shifts = where(eq(scales, 0), 0, round(div(minimums, scales)));
  return mul(add(values, shifts), scales);
}

/**
 * The float32 matrix [n, k] that a packed weight of a linear layer stands for: whole numbers times `scales`, float32 [n], or of groups
 * what `groupScales` returns, as are the `minimums`. Not differentiable.
 */
export function dequantizeWeight(
  packed: Tensor,
  [n, k]: readonly [number, number],
  format: QuantizedFormat,
  scales: Tensor,
  minimums?: Tensor,
): Tensor {
  const panels = Math.ceil(n / panelRows);
  const rows = panels * panelRows;
  const steps = sizeOf(packed.shape) / rows;
  const values = unpackWords(reshape(packed, [panels, steps, panelRows, 1]), format);
  const matrix = reshape(permute(values, [0, 2, 1, 3]), [rows, steps * values.shape[3]]);
  const { groupSize } = format;
  if (groupSize === undefined) return mul(narrow(narrow(matrix, 0, 0, n), 1, 0, k), reshape(scales, [n, 1]));
  const ofGroups = (factors: Tensor) =>
    reshape(permute(reshape(factors, [panels, k / groupSize, panelRows]), [0, 2, 1]), [
      rows,
      k / groupSize,
      1,
    ]);
  const grouped = reshape(matrix, [rows, k / groupSize, groupSize]);
  const weights = scaledGroups(grouped, format, ofGroups(scales), minimums && ofGroups(minimums));
  return narrow(reshape(weights, [rows, k]), 0, 0, n);
}
