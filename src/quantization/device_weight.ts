/** Matrices of weights on a device, in any format of the registry (core/weight_format.ts), filled a range of rows at a time. */
import { ArgumentError } from "../core/errors.js";
import { formatOf, type HostWeight, requireParts, type WeightFormat } from "../core/weight_format.js";
import type { Device } from "../device/device.js";
import type { Tensor } from "../graph/tensor.js";
import { packRows } from "../kernels/pack.js";
import { packedBytes, panelRows, wordBytes } from "../kernels/packed.js";
import type { PackedWeight } from "../ops/packed_weight.js";
import { dispose } from "../runtime/dispose.js";
import { leaf, overwrite } from "../runtime/host_data.js";

/** Shape and format of weights, and the groups of a convolution. */
export interface WeightDescription extends Pick<PackedWeight, "shape" | "groups"> {
  readonly format: WeightFormat;
}

/** Weights on a device as kernels read them. Layers that share one share its memory. */
export interface DeviceWeight {
  readonly description: WeightDescription;
  /** int32 [words] of quantized weights (kernels/packed.ts); of floats [out, in]. */
  readonly weight: Tensor;
  /** float32 [out], or of groups as `groupScales` arranges them; undefined for floats. */
  readonly scale?: Tensor;
  /** Of formats with an offset; see `PackedWeight`. */
  readonly minimums?: Tensor;
}

/** What a matrix is before its rows are known. */
export type WeightLayout = Pick<HostWeight, "format" | "shape" | "groupSize">;

/**
 * A matrix of weights on its way to a device: memory for all of it, filled by `write` from the first row on. No more than the rows of
 * one call exist in host memory, packed.
 *
 * @example
 * const upload = new WeightUpload({ format: "int8", shape: [16, 4] }, defaultDevice());
 * const scales = new Float32Array(8).fill(0.1);
 * for (let i = 0; i < 2; i++) upload.write({ format: "int8", shape: [8, 4], values: new Int8Array(32), scales });
 * upload.finish().weight.size; // 16
 *
 * @throws ArgumentError for groups that do not divide the rows.
 */
export class WeightUpload {
  readonly #layout: WeightLayout;
  readonly #result: DeviceWeight;
  #rows = 0;

  constructor(layout: WeightLayout, device: Device) {
    this.#layout = layout;
    this.#result = allocateWeight(layout, device);
  }

  /**
   * Writes the next rows.
   *
   * @throws ArgumentError for rows of another format or length, too many of them, and a number of rows that is no multiple of 8, except
   * for the last ones.
   */
  write(rows: HostWeight): void {
    const { format, groupSize, shape } = this.#layout;
    const [n, k] = shape;
    const [count, width] = rows.shape;
    const before = this.#rows;
    const isSame = rows.format === format && width === k && rows.groupSize === groupSize;
    if (!isSame || before + count > n || (count % panelRows !== 0 && before + count !== n)) {
      throw new ArgumentError(
        `${count} rows of ${rows.format} [${width}] after ${before} of ${format} [${n}, ${k}]`,
        { op: "WeightUpload.write", hint: `rows of one format, ${panelRows} or a multiple at a time` },
      );
    }
    this.#rows += count;
    const { weight, scale, minimums } = this.#result;
    if (scale === undefined) {
      requireParts(rows);
      overwrite(weight, rows.values, { offset: before * k, length: count * k });
      return;
    }
    const packed = packRows(rows);
    const share = (tensor: Tensor) => (tensor.size / Math.ceil(n / panelRows)) * (before / panelRows);
    const put = (tensor: Tensor, data: Int32Array | Float32Array, offset: number) =>
      overwrite(tensor, data, { offset, length: data.length });
    put(weight, packed.words, share(weight));
    put(scale, packed.scales, scale.rank === 1 ? before : share(scale));
    if (minimums) put(minimums, packed.minimums!, share(minimums));
  }

  /** @throws ArgumentError unless all rows are written. */
  finish(): DeviceWeight {
    const [n] = this.#layout.shape;
    if (this.#rows !== n) {
      throw new ArgumentError(`${this.#rows} of ${n} rows are written`, { op: "WeightUpload.finish" });
    }
    return this.#result;
  }

  /** Frees the memory, after rows that could not be read. */
  dispose(): void {
    for (const tensor of tensorsOf(this.#result)) dispose(tensor);
  }
}

/** Groups of weights are multiples of this. */
const groupMultiple = 32;

/** The tensors of a weight. */
export function tensorsOf({ weight, scale, minimums }: DeviceWeight): Tensor[] {
  return [weight, scale, minimums].filter((tensor) => tensor !== undefined);
}

/**
 * Memory for a matrix, without values.
 * @throws ArgumentError for groups that do not divide the rows; OutOfMemoryError.
 */
export function allocateWeight(layout: WeightLayout, device: Device): DeviceWeight {
  const { format: name, shape, groupSize } = layout;
  const [n, k] = shape;
  const format = formatOf(name, groupSize);
  const description = { shape: [n, k], format };
  if ("dtype" in format) {
    return { description, weight: leaf(device, format.dtype, [n, k], undefined) };
  }
  const isGrouped = format.groupSize !== undefined;
  if (isGrouped && !(k % format.groupSize === 0 && format.groupSize % groupMultiple === 0)) {
    throw new ArgumentError(`groups of ${groupSize} do not fit rows of ${k}`, {
      op: "WeightUpload",
      hint: `the group size is a multiple of ${groupMultiple} that divides the row; unpackWeight gives float32`,
    });
  }
  const panels = Math.ceil(n / panelRows);
  const factors = () =>
    isGrouped
      ? leaf(device, "float32", [panels, k / format.groupSize, panelRows], undefined)
      : leaf(device, "float32", [n], undefined);
  return {
    description,
    weight: leaf(device, "int32", [packedBytes(n, k, format) / wordBytes], undefined),
    scale: factors(),
    ...(format.offset && { minimums: factors() }),
  };
}
