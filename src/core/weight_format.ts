/**
 * How matrices of weights [n, k] are stored: one record for each format, and matrices in host memory. Formats that files have map
 * to these without rounding: GGUF's Q4_0 (`int4`), Q4_1 (`int4Minimum`) and Q8_0 (`int8Groups`) with groups of 32, ONNX's
 * MatMulNBits of 4 bits (`int4`, `int4ZeroPoint`), halves (`float16`, `bfloat16`).
 *
 * A quantized weight is a whole number q with a scale for its row or for its group, `groupSize` neighbours along k:
 * w = q · scale, (q − zero point) · scale, or q · scale + minimum. Products and sums are those of float32.
 */
import { ArgumentError } from "./errors.js";
import { decodeBfloat16, decodeFloat16 } from "./half.js";

/** Of quantized weights. Values of 8 bits are −128..127, of 7 bits −63..63; those of 4 bits are stored as 0..15. */
export type QuantizedFormat =
  /** A scale for each row. */
  | { readonly bits: 8 | 7; readonly groupSize?: undefined; readonly offset?: undefined }
  /** A scale for each group. */
  | { readonly bits: 8; readonly groupSize: number; readonly offset?: undefined }
  /**
   * A scale for each group, and by `offset` a zero point, a minimum, or neither: then the weights −8..7 are stored as 0..15, which is
   * a zero point of 8.
   */
  | { readonly bits: 4; readonly groupSize: number; readonly offset?: "zeroPoint" | "minimum" | undefined };

/** Of floats. */
export interface FloatFormat {
  readonly dtype: "float32" | "float16" | "bfloat16";
  readonly bits: 32 | 16;
  readonly groupSize?: undefined;
  readonly offset?: undefined;
}

/** How a matrix of weights is stored: whole numbers with scales, or floats. */
export type WeightFormat = QuantizedFormat | FloatFormat;

/** The name of a format in the registry. */
export type WeightFormatName =
  | "float32"
  | "float16"
  | "bfloat16"
  | "int8"
  | "int7"
  | "int8Groups"
  | "int4"
  | "int4ZeroPoint"
  | "int4Minimum";

/** A matrix of weights [n, k] in host memory, row-major. */
export interface HostWeight {
  readonly format: WeightFormatName;
  readonly shape: readonly [n: number, k: number];
  /**
   * [n, k]: Float32Array; Uint16Array of the bits of halves; Int8Array for 8 and 7 bits; for 4 bits a Uint8Array [n, k/2], two
   * numbers 0..15 in a byte, the first in its low half.
   */
  readonly values: Float32Array | Uint16Array | Int8Array | Uint8Array;
  /** Of a row [n], or of each group [n, k/groupSize]; absent for floats. */
  readonly scales?: Float32Array;
  /** 0..15, of each group [n, k/groupSize]. */
  readonly zeroPoints?: Uint8Array;
  /** Of each group [n, k/groupSize]. */
  readonly minimums?: Float32Array;
  /** Neighbours along k that share a scale. */
  readonly groupSize?: number;
}

export interface WeightFormatRecord {
  /** Of a stored value. */
  readonly bits: 32 | 16 | 8 | 7 | 4;
  /** What a scale belongs to; undefined for floats. */
  readonly scaled?: "row" | "group";
  readonly offset?: "zeroPoint" | "minimum";
  /** Least and greatest whole number as it is stored in a `HostWeight`. */
  readonly range?: readonly [least: number, most: number];
  /** What is taken off a stored number where the group has no zero point and no minimum. */
  readonly middle?: number;
  /** The kernel that multiplies with such weights. */
  readonly kernel: "matmul" | "qmatmul";
  /** Row `row` of the matrix as float32, written to `into` (k elements). */
  unpackRow(weight: HostWeight, row: number, into: Float32Array): void;
}

/** Row `row` of an array with as many elements for each row as `into`. */
function rowOf<T extends Float32Array | Uint16Array>(values: T, row: number, { length }: Float32Array): T {
  return values.subarray(row * length, (row + 1) * length) as T;
}

const float32: WeightFormatRecord = {
  bits: 32,
  kernel: "matmul",
  unpackRow: ({ values }, row, into) => into.set(rowOf(values as Float32Array, row, into)),
};

const float16: WeightFormatRecord = {
  bits: 16,
  kernel: "matmul",
  unpackRow: ({ values }, row, into) => decodeFloat16(rowOf(values as Uint16Array, row, into), into),
};

const bfloat16: WeightFormatRecord = {
  bits: 16,
  kernel: "matmul",
  unpackRow: ({ values }, row, into) => decodeBfloat16(rowOf(values as Uint16Array, row, into), into),
};

type IntegerParts = Pick<WeightFormatRecord, "bits" | "offset" | "middle"> &
  Required<Pick<WeightFormatRecord, "scaled" | "range">>;

function integers(parts: IntegerParts): WeightFormatRecord {
  const { bits, offset, middle = 0 } = parts;
  return {
    ...parts,
    kernel: "qmatmul",
    unpackRow({ values, scales, zeroPoints, minimums, groupSize }, row, into) {
      const k = into.length;
      const size = groupSize ?? k;
      const groups = Math.ceil(k / size);
      for (let i = 0; i < k; i++) {
        const place = row * k + i;
        const q = bits === 4 ? (values[place >> 1] >> (4 * (place & 1))) & 0xf : values[place];
        const group = row * groups + Math.floor(i / size);
        const scale = scales![group];
        if (offset === "minimum") into[i] = Math.fround(q * scale) + minimums![group];
        else into[i] = (q - (offset === "zeroPoint" ? zeroPoints![group] : middle)) * scale;
      }
    },
  };
}

const fourBits = { bits: 4, scaled: "group", range: [0, 15] } as const;

export const weightFormats: Readonly<Record<WeightFormatName, WeightFormatRecord>> = {
  float32,
  float16,
  bfloat16,
  int8: integers({ bits: 8, scaled: "row", range: [-128, 127] }),
  int7: integers({ bits: 7, scaled: "row", range: [-63, 63] }),
  int8Groups: integers({ bits: 8, scaled: "group", range: [-128, 127] }),
  int4: integers({ ...fourBits, middle: 8 }),
  int4ZeroPoint: integers({ ...fourBits, offset: "zeroPoint" }),
  int4Minimum: integers({ ...fourBits, offset: "minimum" }),
};

/** The name of a format. */
export function formatName(format: WeightFormat): WeightFormatName {
  if ("dtype" in format) return format.dtype;
  const { bits, groupSize, offset } = format;
  if (bits !== 4) return bits === 7 ? "int7" : groupSize === undefined ? "int8" : "int8Groups";
  return offset === undefined ? "int4" : offset === "minimum" ? "int4Minimum" : "int4ZeroPoint";
}

/** The format with a name; `groupSize` belongs to formats with groups. */
export function formatOf(name: WeightFormatName, groupSize?: number): WeightFormat {
  const { bits, scaled, offset } = weightFormats[name];
  if (scaled === undefined) return { dtype: name, bits } as FloatFormat;
  return { bits, ...(scaled === "group" && { groupSize }), ...(offset && { offset }) } as QuantizedFormat;
}

/**
 * Bytes of a matrix [n, k] in a format: its values, scales (float32), zero points (one byte each) and minimums (float32).
 *
 * @example
 * weightBytes("int4", 4096, 4096, 32) / 4096 ** 2; // 0.625
 */
export function weightBytes(name: WeightFormatName, n: number, k: number, groupSize = k): number {
  const { bits, scaled, offset } = weightFormats[name];
  const values = bits === 4 ? Math.ceil((n * k) / 2) : (n * k * (bits === 7 ? 8 : bits)) / 8;
  const scales = scaled === undefined ? 0 : n * (scaled === "row" ? 1 : Math.ceil(k / groupSize));
  const perScale = 4 + (offset === "minimum" ? 4 : offset === "zeroPoint" ? 1 : 0);
  return values + scales * perScale;
}

/**
 * The float32 numbers [n, k] that a weight stands for.
 *
 * @example
 * unpackWeight({ format: "int8", shape: [1, 2], values: Int8Array.of(3, -4), scales: Float32Array.of(0.5) }); // [1.5, -2]
 *
 * @throws ArgumentError if the parts do not fit the format and the shape.
 */
export function unpackWeight(weight: HostWeight): Float32Array {
  requireParts(weight);
  const [n, k] = weight.shape;
  const { unpackRow } = weightFormats[weight.format];
  const result = new Float32Array(n * k);
  for (let row = 0; row < n; row++) unpackRow(weight, row, result.subarray(row * k, (row + 1) * k));
  return result;
}

/** @throws ArgumentError if a part of the weight is missing, or has not as many elements as format and shape say. */
export function requireParts(weight: HostWeight): void {
  const { format, shape, values, groupSize } = weight;
  const op = "unpackWeight";
  const [n, k] = shape;
  const { bits, scaled, offset } = weightFormats[format];
  const count = bits === 4 ? (n * k) / 2 : n * k;
  if (values.length !== count) {
    throw new ArgumentError(`${values.length} values of ${format} for [${n}, ${k}], ${count} are needed`, {
      op,
    });
  }
  if (scaled === "group" && !(Number.isInteger(groupSize) && groupSize! > 0 && k % groupSize! === 0)) {
    throw new ArgumentError(`groups of ${groupSize} do not divide rows of ${k}`, { op });
  }
  const scales = scaled === "row" ? n : scaled === "group" ? n * (k / groupSize!) : 0;
  const parts = {
    scales,
    zeroPoints: offset === "zeroPoint" ? scales : 0,
    minimums: offset === "minimum" ? scales : 0,
  };
  for (const [name, wanted] of Object.entries(parts) as [keyof typeof parts, number][]) {
    const found = weight[name]?.length ?? 0;
    if (found !== wanted) {
      throw new ArgumentError(`${found} ${name} of ${format} for [${n}, ${k}], ${wanted} are needed`, { op });
    }
  }
}
