/** A multilayer perceptron. */

import { checkOptions, integers, type Kinds } from "../../core/check.js";
import type { Tensor } from "../../graph/tensor.js";
import { ModuleList } from "../../nn/container.js";
import { Linear } from "../../nn/linear.js";
import { Module } from "../../nn/module.js";
import { type ParameterOptions, parameterOptions } from "../../nn/parameter.js";
import { relu } from "../../ops/elementwise.js";
import { flatten } from "../../ops/reshape.js";

/** Options of `Mlp`. */
export interface MlpOptions extends ParameterOptions {
  /** Widths from input to output. Default [784, 256, 128, 10]. */
  readonly sizes?: readonly number[];
}

const mlpOptions: Kinds<MlpOptions> = { ...parameterOptions, sizes: integers };

/**
 * A multilayer perceptron: linear layers with ReLU between them. x [N, ...] is flattened to [N, sizes[0]] → [N, last size].
 *
 * @example
 * const model = new Mlp({ sizes: [4, 8, 2] });
 * model.forward(zeros([3, 2, 2])).shape; // [3, 2]
 */
export class Mlp extends Module {
  readonly layers: ModuleList;

  constructor(options: MlpOptions = {}) {
    super();
    const { sizes = [784, 256, 128, 10], device } = checkOptions("Mlp", options, mlpOptions);
    this.layers = new ModuleList(sizes.slice(1).map((out, i) => new Linear(sizes[i], out, { device })));
  }

  forward(x: Tensor): Tensor {
    const last = this.layers.modules.length - 1;
    return this.layers.modules.reduce(
      (value, layer, i) => {
        const y = layer.forward(value);
        return i < last ? relu(y) : y;
      },
      flatten(x, 1),
    );
  }
}
