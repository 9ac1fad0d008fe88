/** Weights of quantized products, arranged as the kernels read them. */

import { aCount, aNumber, check, checkOptions, type Kind, type Kinds } from "../core/check.js";
import { ArgumentError, DTypeError, ShapeError } from "../core/errors.js";
import { formatShape, type Shape, sizeOf } from "../core/shape.js";
import { requireTensor } from "../graph/require.js";
import { Tensor } from "../graph/tensor.js";
import type { QuantizedFormat } from "../kernels/kernel.js";
import {
  depthwiseLanes,
  isDepthwise,
  packedBytes,
  packedConvBytes,
  panelRows,
  stepLength,
  storedOffset,
  wordBytes,
} from "../kernels/packed.js";
import { lt, where } from "./comparison.js";
import { add, mul } from "./elementwise.js";
import { cast } from "./promotion.js";
import { permute, reshape } from "./reshape.js";
import { narrow, pad } from "./slice.js";

/** An integer weight in the layout that the quantized kernels read. */
export interface PackedWeight {
  /** int32, 1-D, four bytes per element; the layout is the same on all devices (src/kernels/packed.ts). */
  readonly packed: Tensor;
  /** Shape before packing: [out, in], or [O, C/groups, KH, KW]. */
  readonly shape: Shape;
  /** Bits, group size, and whether `minimums` encode zero points. */
  readonly format: QuantizedFormat;
  /**
   * Of formats with an offset: float32, as `groupScales` arranges it. Minimums, or for zero points (8 − zero point) · scale.
   */
  readonly minimums?: Tensor;
  /** Groups of a convolution. Default 1. */
  readonly groups?: number;
}

/** Options of `packWeight`. */
export interface PackOptions {
  /** 8: values −128..127; 7: −63..63, faster where the engine has relaxed SIMD; 4: −7..7. Default 8. */
  readonly bits?: 8 | 7 | 4;
  /**
   * The number of consecutive values along `in` that share a scale, a multiple of 32. Default: for 4 bits 32, else a whole row. 7 bits
   * have no groups.
   */
  readonly groupSize?: number;
  /** Groups of a convolution. Default 1. */
  readonly groups?: number;
}

const packOptions: Kinds<PackOptions> = {
  bits: [`one of 8, 7, 4`, (value) => value === 8 || value === 7 || value === 4],
  groupSize: aNumber,
  groups: aCount,
};

const groupMultiple = 32;

/**
 * Packs an int8 weight, [out, in] or [O, C/groups, KH, KW], for `quantizedLinear` or `quantizedConv2d`. Lazy: call
 * `packed.realize()` once, or every product packs it again.
 *
 * @example
 * const weight = packWeight(tensor([[1, 2], [3, 4]], { dtype: "int8" }));
 * quantizedLinear(tensor([[1, 1]], { dtype: "int8" }), weight, { dtype: "int32" }); // [[3, 7]]
 *
 * @throws DTypeError unless the values are int8; ShapeError; ArgumentError for a group size that is not a multiple of 32 or does not
 * divide `in`, and for groups with 7 bits or with a convolution.
 */
export function packWeight(values: Tensor, options: PackOptions = {}): PackedWeight {
  const op = "packWeight";
  requireTensor(op, values);
  checkOptions(op, options, packOptions);
  if (values.dtype !== "int8") throw new DTypeError(`int8 is needed, got ${values.dtype}`, { op });
  const { shape } = values;
  const { groups = 1 } = options;
  if (shape.length !== 2 && shape.length !== 4) {
    throw new ShapeError(`weights are [out, in] or [O, C/groups, KH, KW], got ${formatShape(shape)}`, { op });
  }
  const format = weightFormat(shape, options);
  if (shape.length === 2) return { packed: packRows(values, format), shape, format };
  if (shape[0] % groups !== 0) {
    throw new ArgumentError(`${groups} groups do not divide ${shape[0]} channels`, { op });
  }
  const [out, perGroup, ...kernel] = shape;
  const kernelSize = sizeOf(kernel);
  if (isDepthwise({ shape, groups })) {
    const columns = permute(reshape(values, [out, kernelSize]), [1, 0]);
    const packed = pad(columns, [
      [0, 0],
      [0, missing(out, depthwiseLanes)],
    ]);
    const words = reshape(packed, [kernelSize, packed.shape[1] / wordBytes, wordBytes]);
    return { packed: wordsOf(stored(words, format)), shape, format, groups };
  }
  const rows = permute(reshape(values, [groups, out / groups, perGroup, kernelSize]), [0, 1, 3, 2]);
  const matrices = reshape(rows, [groups, out / groups, kernelSize * perGroup]);
  return { packed: packRows(matrices, format), shape, format, groups };
}

/** @throws ArgumentError */
export function weightFormat(
  shape: Shape,
  { bits = 8, groupSize = bits === 4 ? groupMultiple : undefined }: PackOptions,
): QuantizedFormat {
  const op = "packWeight";
  if (bits !== 4 && groupSize === undefined) return { bits };
  if (shape.length !== 2)
    throw new ArgumentError("convolutions take weights of 8 or 7 bits without groups", { op });
  if (bits === 7) throw new ArgumentError("weights of 7 bits have no groups", { op });
  if (
    groupSize === undefined ||
    !Number.isInteger(groupSize) ||
    groupSize < 1 ||
    groupSize % groupMultiple !== 0 ||
    shape[1] % groupSize !== 0
  ) {
    throw new ArgumentError(`groups of ${groupSize} do not fit rows of ${shape[1]}`, {
      op,
      hint: `the group size is a multiple of ${groupMultiple} that divides the row; int8WeightOnly takes any`,
    });
  }
  return { bits, groupSize };
}

/** Distance to the next multiple. */
function missing(extent: number, multiple: number): number {
  return (multiple - (extent % multiple)) % multiple;
}

function stored(values: Tensor, format: QuantizedFormat): Tensor {
  const offset = storedOffset(format);
  return offset === 0 ? values : cast(add(cast(values, "int32"), offset), "int8");
}

/** [..., n, k] to panels; see packed.ts. */
function packRows(values: Tensor, format: QuantizedFormat): Tensor {
  const lead = values.shape.slice(0, -2);
  const [n, k] = values.shape.slice(-2);
  const none = lead.map(() => [0, 0] as const);
  const padded = pad(values, [...none, [0, missing(n, panelRows)], [0, missing(k, stepLength)]]);
  const [rows, length] = padded.shape.slice(-2);
  const parts = [rows / panelRows, panelRows, length / stepLength, stepLength];
  const count = sizeOf(lead);
  const panels = permute(reshape(padded, [count, ...parts]), [0, 1, 3, 2, 4]);
  if (format.bits !== 4) return wordsOf(stored(panels, format));
  const pairs = reshape(panels, [count * parts[0] * (parts[2] / 2), 2, panelRows, stepLength]);
  const half = (i: number) => add(cast(narrow(pairs, 1, i, 1), "int32"), storedOffset(format));
  return wordsOf(cast(add(half(0), mul(half(1), 16)), "int8"));
}

/** [..., 4] to one dimension: four neighbours in an int32, the first in its lowest bits. */
function wordsOf(bytes: Tensor): Tensor {
  const byte = (i: number) => cast(narrow(bytes, -1, i, 1), "int32");
  const unsigned = (i: number) => where(lt(byte(i), 0), add(byte(i), 256), byte(i));
  const half = (i: number, upper: Tensor) => add(unsigned(i), mul(upper, 256));
  return reshape(add(half(0, unsigned(1)), mul(half(2, byte(3)), 65536)), [-1]);
}

function aFormat(format: QuantizedFormat | undefined | null): boolean {
  const { bits, groupSize } = format ?? {};
  const isGrouped = Number.isSafeInteger(groupSize) && groupSize! > 0;
  return bits === 4 || (bits === 8 && groupSize !== undefined) ? isGrouped : bits === 8 || bits === 7;
}

const aPackedWeight: Kind = [
  "what packWeight returns",
  (value) => {
    const { packed, shape, format, minimums } = (value ?? {}) as Partial<PackedWeight>;
    const isWhole = (format?.offset === undefined) === (minimums === undefined);
    return packed instanceof Tensor && Array.isArray(shape) && aFormat(format) && isWhole;
  },
];

/** @throws DTypeError, ShapeError */
export function requirePacked(weight: PackedWeight, rank: number, op: string): void {
  const { packed, shape, format, groups = 1 } = check(op, "the weight", weight, aPackedWeight);
  if (packed.dtype !== "int32") throw new DTypeError(`packed weights are int32, got ${packed.dtype}`, { op });
  const [n, k] = shape;
  const bytes = rank === 2 ? packedBytes(n, k, format) : packedConvBytes({ shape, groups }, format);
  if (shape.length !== rank || packed.size * wordBytes !== bytes) {
    throw new ShapeError(
      `${packed.size * wordBytes} packed bytes are no weights of shape ${formatShape(shape)}`,
      {
        op,
        hint: "make them with packWeight",
      },
    );
  }
}
