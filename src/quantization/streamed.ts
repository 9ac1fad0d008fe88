/** Weights that are rounded while they are read from a file: of the float32 matrix, a slab of rows is in memory. */
import type { TypedArray } from "../core/dtype.js";
import type { QuantizedFormat } from "../core/weight_format.js";
import type { StoredTensor } from "../formats/host.js";
import { giveScratch, takeScratch } from "../formats/scratch.js";
import { panelRows } from "../kernels/packed.js";
import { packedSizes, roundRows } from "./round_rows.js";

/** Bytes of float32 that are rounded at once; a row more if it is longer. */
const slabBytes = 2 ** 20;

/** A weight as a quantized layer keeps it. Reading one of the two reads the file; the other then has its values. */
export interface StreamedWeight {
  /** int32, packed. */
  readonly weight: StoredTensor;
  /** float32 [out], or of groups as `groupScales` arranges them. */
  readonly scale: StoredTensor;
  /** Of formats with minimums, as the scales. */
  readonly minimums?: StoredTensor;
}

/** A matrix [out, in] of a file, float32 as it is read. */
export function streamedWeight(stored: StoredTensor, quantization: QuantizedFormat): StreamedWeight {
  const [n, k] = stored.shape;
  const sizes = packedSizes(n, k, quantization);
  let scales: Float32Array | undefined;
  let least: Float32Array | undefined;

  async function* slabs(): AsyncGenerator<Int32Array> {
    const found = new Float32Array(sizes.scales.reduce((product, extent) => product * extent, 1));
    const foundLeast = quantization.offset && new Float32Array(found.length);
    const perSlab = Math.max(1, Math.floor(slabBytes / (4 * k * panelRows))) * panelRows;
    const rowMemory = takeScratch(4 * Math.min(n, perSlab) * k);
    const rows = new Float32Array(rowMemory, 0, Math.min(n, perSlab) * k);
    const { words: slabWords } = packedSizes(Math.min(n, perSlab), k, quantization);
    const packedMemory = takeScratch(4 * slabWords);
    const packed = new Int32Array(packedMemory, 0, slabWords);
    const perRow = found.length / (Math.ceil(n / panelRows) * panelRows);
    let filled = 0;
    let done = 0;
    const round = () => {
      const count = filled / k;
      const words = packed.subarray(0, packedSizes(count, k, quantization).words);
      const isGrouped = sizes.scales.length > 1;
      const at = isGrouped ? done * perRow : done;
      const end = isGrouped ? at + Math.ceil(count / panelRows) * panelRows * perRow : at + count;
      roundRows(rows, count, k, quantization, words, found.subarray(at, end), foundLeast?.subarray(at, end));
      done += count;
      filled = 0;
      return words;
    };
    try {
      for await (const piece of stored.pieces()) {
        for (let at = 0; at < piece.length; ) {
          const some = piece.subarray(at, at + rows.length - filled) as Float32Array;
          rows.set(some, filled);
          filled += some.length;
          at += some.length;
          if (filled === rows.length) yield round();
        }
      }
      if (filled > 0) yield round();
    } finally {
      giveScratch(rowMemory);
      giveScratch(packedMemory);
    }
    scales = found;
    least = foundLeast;
  }

  async function scalesOf(): Promise<Float32Array> {
    if (scales === undefined) for await (const _ of slabs());
    return scales!;
  }
  const minimums = inPieces("float32", sizes.scales, async function* () {
    await scalesOf();
    yield least!;
  });
  return {
    weight: inPieces("int32", [sizes.words], slabs),
    scale: inPieces("float32", sizes.scales, async function* () {
      yield await scalesOf();
    }),
    ...(quantization.offset && { minimums }),
  };
}

function inPieces(
  dtype: StoredTensor["dtype"],
  shape: readonly number[],
  pieces: () => AsyncGenerator<TypedArray>,
): StoredTensor {
  return {
    dtype,
    shape,
    pieces,
    async data() {
      const size = shape.reduce((product, extent) => product * extent, 1);
      const whole = dtype === "int32" ? new Int32Array(size) : new Float32Array(size);
      let at = 0;
      for await (const piece of pieces()) {
        whole.set(piece, at);
        at += piece.length;
      }
      return whole;
    },
  };
}
