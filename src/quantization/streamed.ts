/** Weights that are packed while they are read from a file: a slab of rows is in memory at once, rounded if it is float32. */
import { type DType, newArray, type TypedArray } from "../core/dtype.js";
import { sizeOf } from "../core/shape.js";
import {
  formatOf,
  type HostWeight,
  type QuantizedFormat,
  type WeightFormatName,
} from "../core/weight_format.js";
import type { StoredTensor } from "../formats/host.js";
import { giveScratch, takeScratch } from "../formats/scratch.js";
import { packRows } from "../kernels/pack.js";
import { packedBytes, panelRows, wordBytes } from "../kernels/packed.js";
import { packedSizes, roundRows } from "./round_rows.js";

/** Bytes of rows that are packed at once; eight rows if they are longer. */
export const slabBytes = 2 ** 18;

/** A weight as a quantized layer keeps it. Reading one of them reads the file; the others then have their values. */
export interface StreamedWeight {
  /** int32, packed; halves as they are. */
  readonly weight: StoredTensor;
  /** float32 [out], or of groups as `groupScales` arranges them. */
  readonly scale?: StoredTensor;
  /** Of formats with minimums, as the scales. */
  readonly minimums?: StoredTensor;
}

/** Packed rows; valid until the next are asked for. */
interface Slab {
  readonly words: TypedArray;
  readonly scales?: Float32Array;
  readonly minimums?: Float32Array;
}

/** A matrix [out, in] of a file, float32 as it is read, rounded. */
export function streamedWeight(stored: StoredTensor, quantization: QuantizedFormat): StreamedWeight {
  const [n, k] = stored.shape;
  const sizes = packedSizes(n, k, quantization);
  const { words: slabWords } = packedSizes(rowsOfSlab(n, 4 * k), k, quantization);
  async function* slabs(): AsyncGenerator<Slab> {
    const memory = takeScratch(wordBytes * slabWords);
    try {
      for await (const { rows, values } of rowSlabs(stored, n, k)) {
        const { words, scales: shape } = packedSizes(rows, k, quantization);
        const packed = new Int32Array(memory, 0, words);
        const scales = new Float32Array(sizeOf(shape));
        const minimums = quantization.offset && new Float32Array(scales.length);
        roundRows(values as Float32Array, rows, k, quantization, packed, scales, minimums);
        yield { words: packed, scales, ...(minimums && { minimums }) };
      }
    } finally {
      giveScratch(memory);
    }
  }
  const minimums = quantization.offset && sizes.scales;
  return tensorsOf({ dtype: "int32", shape: [sizes.words], scale: sizes.scales, minimums }, slabs);
}

/**
 * A matrix [out, in] of a file in a format of the registry.
 *
 * @param raw uint8 [out, bytes of a row].
 * @param weightOf Rows out of their bytes.
 */
export function fileWeight(
  raw: StoredTensor,
  [n, k]: readonly [number, number],
  { name, groupSize }: { readonly name: WeightFormatName; readonly groupSize: number },
  weightOf: (bytes: Uint8Array, rows: number) => HostWeight,
): StreamedWeight {
  const format = formatOf(name, groupSize);
  const isFloat = "dtype" in format;
  async function* slabs(): AsyncGenerator<Slab> {
    const rowsOnce = rowsOfSlab(n, raw.shape[1]);
    const memory = takeScratch(isFloat ? 0 : packedBytes(rowsOnce, k, format as QuantizedFormat));
    try {
      for await (const { rows, values } of rowSlabs(raw, n, raw.shape[1])) {
        const weight = weightOf(values as Uint8Array, rows);
        yield isFloat ? { words: weight.values } : packRows(weight, memory);
      }
    } finally {
      giveScratch(memory);
    }
  }
  if (isFloat)
    return tensorsOf({ dtype: format.dtype, shape: [n, k], scale: undefined, minimums: undefined }, slabs);
  const ofGroups = [Math.ceil(n / panelRows), k / groupSize, panelRows];
  const words = packedBytes(n, k, format as QuantizedFormat) / wordBytes;
  const minimums = format.offset ? ofGroups : undefined;
  return tensorsOf({ dtype: "int32", shape: [words], scale: ofGroups, minimums }, slabs);
}

function rowsOfSlab(n: number, bytesOfRow: number): number {
  return Math.min(n, Math.max(1, Math.floor(slabBytes / (bytesOfRow * panelRows))) * panelRows);
}

/** The rows of a matrix, a multiple of 8 at a time but for the last. */
async function* rowSlabs(
  stored: StoredTensor,
  n: number,
  width: number,
): AsyncGenerator<{ readonly rows: number; readonly values: TypedArray }> {
  const isBytes = stored.dtype === "uint8";
  const itemBytes = isBytes ? 1 : 4;
  const length = rowsOfSlab(n, itemBytes * width) * width;
  const memory = takeScratch(itemBytes * length);
  const values = isBytes ? new Uint8Array(memory, 0, length) : new Float32Array(memory, 0, length);
  let filled = 0;
  try {
    for await (const piece of stored.pieces()) {
      for (let at = 0; at < piece.length; ) {
        const some = piece.subarray(at, at + length - filled);
        values.set(some as Uint8Array, filled);
        filled += some.length;
        at += some.length;
        if (filled < length) break;
        yield { rows: length / width, values };
        filled = 0;
      }
    }
    if (filled > 0) yield { rows: filled / width, values: values.subarray(0, filled) };
  } finally {
    giveScratch(memory);
  }
}

interface Layout {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly scale: readonly number[] | undefined;
  readonly minimums: readonly number[] | undefined;
}

/** Tensors of one reading of the file. */
function tensorsOf(
  { dtype, shape, scale, minimums }: Layout,
  slabs: () => AsyncGenerator<Slab>,
): StreamedWeight {
  const found: Partial<Record<"scales" | "minimums", Float32Array | undefined>> = {};
  async function* words(): AsyncGenerator<TypedArray> {
    const parts = [
      { name: "scales", values: new Float32Array(scale ? sizeOf(scale) : 0) },
      { name: "minimums", values: new Float32Array(minimums ? sizeOf(minimums) : 0) },
    ] as const;
    const places = parts.map(() => 0);
    for await (const slab of slabs()) {
      parts.forEach(({ name, values }, i) => {
        const some = slab[name];
        if (some === undefined) return;
        values.set(some, places[i]);
        places[i] += some.length;
      });
      yield slab.words;
    }
    for (const { name, values } of parts) found[name] = values;
  }
  const side = (name: "scales" | "minimums", shapeOf: readonly number[]) =>
    inPieces("float32", shapeOf, async function* () {
      if (found[name] === undefined) for await (const _ of words());
      const values = found[name]!;
      // A model's scales would wait beside the weights until the last is read; a second reading reads the file again.
      found[name] = undefined;
      yield values;
    });
  return {
    weight: inPieces(dtype, shape, words),
    ...(scale && { scale: side("scales", scale) }),
    ...(minimums && { minimums: side("minimums", minimums) }),
  };
}

function inPieces(
  dtype: DType,
  shape: readonly number[],
  pieces: () => AsyncGenerator<TypedArray>,
): StoredTensor {
  return {
    dtype,
    shape,
    pieces,
    async data() {
      const whole: TypedArray = newArray(dtype, sizeOf(shape));
      let at = 0;
      for await (const piece of pieces()) {
        whole.set(piece, at);
        at += piece.length;
      }
      return whole;
    },
  };
}
