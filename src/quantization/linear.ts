/** A linear layer with quantized weights. */

import type { Tensor } from "../graph/tensor.js";
import type { Linear } from "../nn/linear.js";
import { quantizeDynamic, quantizePerTensor } from "../ops/quantize.js";
import { quantizedLinear } from "../ops/quantized.js";
import { reshape } from "../ops/reshape.js";
import type { InputQuantization } from "./input.js";
import { partsOf, QuantizedLayer } from "./layer.js";
import { padToGroups, type WeightQuantization } from "./weights.js";

/** x [..., in] float32 → [..., out] float32, as the `Linear` it was made of up to rounding. */
export class QuantizedLinear extends QuantizedLayer {
  /** The linear layer stays as it is. */
  static of(linear: Linear, quantization: WeightQuantization, input: InputQuantization): QuantizedLinear {
    return new QuantizedLinear(partsOf(linear, quantization, input));
  }

  forward(x: Tensor): Tensor {
    const { scale: scales, bias, offset: offsets, input } = this;
    switch (input.kind) {
      case "float":
        return quantizedLinear(x, this.packed, { scales, bias });
      case "static":
        return quantizedLinear(
          quantizePerTensor(x, { scale: input.scale, zeroPoint: input.zeroPoint }),
          this.packed,
          { scales, offsets, bias },
        );
      case "dynamic": {
        const { groupSize } = this.description.format;
        if (groupSize === undefined) {
          const { values, scales: inputScales } = quantizeDynamic(x, -1);
          return quantizedLinear(values, this.packed, { scales, inputScales, bias });
        }
        const padded = padToGroups(x, groupSize);
        const groups = padded.shape[x.rank - 1] / groupSize;
        const grouped = reshape(padded, [...x.shape.slice(0, -1), groups, groupSize]);
        const { values, scales: inputScales } = quantizeDynamic(grouped, -1);
        return quantizedLinear(reshape(values, padded.shape), this.packed, { scales, inputScales, bias });
      }
    }
  }
}
