/** A table of vectors that stays quantized: rows are picked as whole numbers (or halves) and become float32 afterwards. */
import { aDevice, checkOptions, type Kinds } from "../core/check.js";
import type { FloatFormat, HostWeight, QuantizedFormat } from "../core/weight_format.js";
import { defaultDevice } from "../device/default.js";
import type { Device } from "../device/device.js";
import type { Tensor } from "../graph/tensor.js";
import type { IndexReport } from "../kernels/kernel.js";
import { panelRows } from "../kernels/packed.js";
import type { Embedding } from "../nn/embedding.js";
import { expand } from "../ops/broadcast.js";
import { add, mod, mul, sub } from "../ops/elementwise.js";
import { embedding, pickRows } from "../ops/indexing.js";
import { asIndex } from "../ops/promotion.js";
import { flatten, reshape } from "../ops/reshape.js";
import { narrow } from "../ops/slice.js";
import { iota } from "../ops/source.js";
import { scaledGroups, unpackWords } from "../ops/unpack_weight.js";
import type { DeviceWeight } from "./device_weight.js";
import { uploadWeight } from "./host_weight.js";
import { partsOf, QuantizedLayer } from "./layer.js";
import type { WeightQuantization } from "./weights.js";

/** Options of `QuantizedEmbedding.fromWeight`. */
export interface TableOptions {
  /** The device of the table. Default: the default device. */
  readonly device?: Device;
}

const tableOptions: Kinds<TableOptions> = { device: aDevice };

const report: IndexReport = { op: "embedding", item: "index", unit: "rows" };

/**
 * A table of vectors with weights in any format of the registry: int32 index [...] → float32 rows [..., dim]. The layout is that of
 * `QuantizedLinear`, so that a head which is tied to the table shares all of its memory, in every format. Not differentiable.
 *
 * @example
 * const scales = Float32Array.of(0.5, 0.25);
 * const table = QuantizedEmbedding.fromWeight({ format: "int8", shape: [2, 2], values: Int8Array.of(1, 2, 3, 4), scales });
 * table.forward(tensor([1, 0], { dtype: "int32" })); // [[0.75, 1], [0.5, 1]]
 * const head = QuantizedLinear.fromWeight(table.deviceWeight);
 * head.weight === table.weight; // true
 *
 * @throws IndexError from the next read for an index outside 0..count−1.
 */
export class QuantizedEmbedding extends QuantizedLayer {
  /** Size of a vector; the weight may have more columns, zeros that fill its last group. */
  readonly dim: number;

  constructor(weight: DeviceWeight, dim = weight.description.shape[1]) {
    super({ weight, input: { kind: "dtype" in weight.description.format ? "float" : "dynamic" } });
    this.dim = dim;
  }

  /** Quantizes a table, which stays unchanged. */
  static of({ weight }: Embedding, quantization: WeightQuantization | FloatFormat): QuantizedEmbedding {
    const parts = partsOf({ weight, bias: undefined }, quantization, { kind: "dynamic" });
    return new QuantizedEmbedding(parts.weight, weight.shape[1]);
  }

  /**
   * A table with the weight of a file, in host memory, or with the one of another layer (`layer.deviceWeight`), which is shared.
   *
   * @throws ArgumentError if the parts do not fit format and shape, or the kernels have no such groups.
   */
  static fromWeight(weight: HostWeight | DeviceWeight, options: TableOptions = {}): QuantizedEmbedding {
    const { device } = checkOptions("QuantizedEmbedding.fromWeight", options, tableOptions);
    return new QuantizedEmbedding(
      "description" in weight ? weight : uploadWeight(weight, device ?? defaultDevice()),
    );
  }

  forward(index: Tensor): Tensor {
    const { weight, scale, minimums, description } = this;
    if (scale === undefined) return embedding(weight, index);
    const format = description.format as QuantizedFormat;
    const [count, columns] = description.shape;
    const rows = checkedRows(asIndex(index, "embedding"), count);
    const values = unpackWords(reshape(inPanels(weight, count, rows), [rows.size, -1, 1, 1]), format);
    const { groupSize = columns } = format;
    const whole = narrow(reshape(values, [rows.size, -1]), 1, 0, columns);
    const groups = columns / groupSize;
    const ofGroups = (factors: Tensor) =>
      reshape(
        scale.rank === 1
          ? pickRows(reshape(factors, [count, 1]), rows, report)
          : inPanels(factors, count, rows),
        [rows.size, groups, 1],
      );
    const grouped = reshape(whole, [rows.size, groups, groupSize]);
    const scaled = scaledGroups(grouped, format, ofGroups(scale), minimums && ofGroups(minimums));
    const found = narrow(reshape(scaled, [rows.size, columns]), 1, 0, this.dim);
    return reshape(found, [...index.shape, this.dim]);
  }
}

/** The indices, one-dimensional, each checked against the number of rows: the panels behind the last row are no rows. */
function checkedRows(index: Tensor, count: number): Tensor {
  return flatten(pickRows(reshape(iota(0, [count], index.device), [count, 1]), flatten(index), report));
}

/** Of a tensor in panels of 8 rows, [⌈count/8⌉ · length · 8], the elements of some rows: [rows, length]. */
function inPanels(arranged: Tensor, count: number, rows: Tensor): Tensor {
  const length = arranged.size / (Math.ceil(count / panelRows) * panelRows);
  const shape = [rows.size, length];
  const lane = mod(rows, panelRows);
  const first = add(mul(sub(rows, lane), length), lane);
  const places = add(
    expand(reshape(first, [rows.size, 1]), shape),
    mul(iota(1, shape, rows.device), panelRows),
  );
  return reshape(pickRows(reshape(arranged, [arranged.size, 1]), flatten(places), report), shape);
}
