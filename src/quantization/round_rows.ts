/**
 * Rows of float32 to whole numbers in the kernels' layout, in host memory: for weights that are quantized while they are read. The
 * numbers and scales are those of `quantizeDynamic` and `packWeight`, bit for bit on devices that compute in float32.
 */
import { panelRows, stepLength, storedOffset } from "../kernels/packed.js";
import { levelsOf4, type WeightQuantization, weightLevels, wholeGroups } from "./weights.js";

/** Largest magnitudes below stand as zeros, as in `quantizeDynamic`: 2⁻¹⁰⁰. */
const smallestRange = 7.888609052210118e-31;
/** Added and taken away, it rounds a double to a whole number, halves to even: 1.5 · 2⁵². */
const roundToEven = 6755399441055744;

/** Sizes of a packed matrix [n, k]. */
export interface PackedSizes {
  /** Elements of int32. */
  readonly words: number;
  readonly scales: readonly number[];
  /** Columns in whole groups. */
  readonly columns: number;
}

export function packedSizes(n: number, k: number, { bits, groupSize }: WeightQuantization): PackedSizes {
  const panels = Math.ceil(n / panelRows);
  if (bits !== 4 || groupSize === undefined) {
    const columns = Math.ceil(k / stepLength) * stepLength;
    return { words: (panels * panelRows * columns) / 4, scales: [n], columns };
  }
  const columns = wholeGroups(k, groupSize);
  return {
    words: (panels * panelRows * columns) / 8,
    scales: [panels, columns / groupSize, panelRows],
    columns,
  };
}

/**
 * Rounds `rows` rows of k values and packs them, rows and columns that are missing as zeros. `rows` is a multiple of 8, but for the
 * last rows of a matrix.
 *
 * @param packed As `packedSizes(rows, k)` says.
 * @param scales [rows], or for 4 bits [⌈rows/8⌉, groups, 8].
 * @param minimums As the scales, if groups have minimums.
 */
export function roundRows(
  values: Float32Array,
  rows: number,
  k: number,
  { bits, groupSize }: WeightQuantization,
  packed: Int32Array,
  scales: Float32Array,
  minimums?: Float32Array,
): void {
  const bytes = new Uint8Array(packed.buffer, packed.byteOffset, packed.byteLength);
  const is4 = bits === 4 && groupSize !== undefined;
  // A stored zero.
  bytes.fill(is4 ? 0x88 : storedOffset({ bits } as Parameters<typeof storedOffset>[0]));
  const size = is4 ? groupSize : k;
  const groups = Math.ceil(k / size);
  const levels = weightLevels[bits];
  const steps = is4 ? (groups * size) / 8 : Math.ceil(k / stepLength);
  const offset = is4 ? 8 : storedOffset({ bits } as Parameters<typeof storedOffset>[0]);
  if (is4) scales.fill(0);
  for (let row = 0; row < rows; row++) {
    const [panel, j] = [Math.floor(row / panelRows), row % panelRows];
    const start = row * k;
    const base = panelRows * stepLength * panel * steps + stepLength * j;
    for (let group = 0; group < groups; group++) {
      const from = group * size;
      const to = Math.min(k, from + size);
      const place = is4 ? (panel * groups + group) * panelRows + j : row;
      const range = minimums && rangeOf(values, start + from, start + to, to - from < size);
      if (minimums && range) {
        scales[place] = range.scale;
        minimums[place] = range.minimum;
      }
      const largest = largestOf(values, start + from, start + to);
      const isTiny = largest < smallestRange;
      const inverse = isTiny ? 0 : Math.fround(levels / largest);
      if (!range) scales[place] = isTiny ? 0 : Math.fround(largest / levels);
      // Levels from a minimum on: the zeros behind a partial group have one, too.
      for (let p = from; p < (range ? from + size : to); p++) {
        const product = range
          ? range.stepOf(p < to ? values[start + p] : 0)
          : Math.fround(values[start + p] * inverse);
        const level = product + roundToEven - roundToEven;
        // What is not a number is stored as 0; its scale is not a number either.
        const stored = (Number.isNaN(level) ? 0 : level) + (range ? 0 : offset);
        if (is4) {
          const at = base + panelRows * stepLength * (p >> 3) + (p & 3);
          bytes[at] = p & 4 ? (bytes[at] & 0x0f) | (stored << 4) : (bytes[at] & 0xf0) | stored;
        } else bytes[base + panelRows * stepLength * (p >> 2) + (p & 3)] = stored;
      }
    }
  }
}

/** Largest magnitude; NaN if there is one. */
function largestOf(values: Float32Array, from: number, to: number): number {
  let largest = 0;
  for (let i = from; i < to; i++) {
    const magnitude = Math.abs(values[i]);
    if (!(magnitude <= largest)) {
      largest = magnitude;
      if (Number.isNaN(magnitude)) return magnitude;
    }
  }
  return largest;
}

interface GroupRange {
  readonly scale: number;
  readonly minimum: number;
  /** A value as a level 0..15, not yet rounded. */
  stepOf(value: number): number;
}

/** The levels of a group with a minimum, as `roundWeight` computes them; a partial group is filled with zeros. */
function rangeOf(values: Float32Array, from: number, to: number, isPartial: boolean): GroupRange {
  let [minimum, maximum] = isPartial ? [0, 0] : [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = from; i < to; i++) {
    minimum = Math.min(minimum, values[i]);
    maximum = Math.max(maximum, values[i]);
  }
  const scale = Math.fround(Math.fround(maximum - minimum) / levelsOf4);
  const stepOf = (value: number) =>
    scale === 0 ? 0 : Math.min(levelsOf4, Math.max(0, Math.fround(Math.fround(value - minimum) / scale)));
  return { scale, minimum, stepOf };
}
