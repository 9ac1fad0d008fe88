/** Pooling over windows of [N, C, H, W]. */

import { aBoolean, aPair, checkOptions, type Kinds } from "../core/check.js";
import { ArgumentError, ShapeError } from "../core/errors.js";
import { formatShape, type Shape } from "../core/shape.js";
import { isDense, memoryOrder, type View } from "../core/view.js";
import type { KernelOp, Lowering } from "../graph/op.js";
import { requireTensor } from "../graph/require.js";
import { inComposite } from "../graph/scope.js";
import { createNode, type Tensor } from "../graph/tensor.js";
import type { PoolCall, PoolGeometry } from "../kernels/kernel.js";
import { asPair, type Pair } from "./convolution.js";
import { gather } from "./indexing.js";
import { requireFloat } from "./promotion.js";
import { mean } from "./reduce.js";
import { reshape } from "./reshape.js";

/** Options of `maxPool2d`. */
export interface PoolOptions {
  /** Default: the kernel's size. */
  readonly stride?: Pair;
  /** At most half the kernel's size. Default 0. */
  readonly padding?: Pair;
}

/** Options of `avgPool2d`. */
export interface AvgPoolOptions extends PoolOptions {
  /** Whether padding counts in the divisor. Default true. */
  readonly countIncludePad?: boolean;
}

export const poolOptions: Kinds<PoolOptions> = { stride: aPair, padding: aPair };
export const avgPoolOptions = (): Kinds<AvgPoolOptions> => ({ ...poolOptions, countIncludePad: aBoolean });

interface PoolAttributes {
  readonly op: PoolCall["op"];
  readonly geometry: PoolGeometry;
}

interface PoolGradAttributes {
  readonly op: "max" | "average";
  readonly geometry: PoolGeometry;
}

function orderOf(view: View): number[] | undefined {
  return isDense(view) ? memoryOrder(view) : undefined;
}

const poolOp: KernelOp<PoolAttributes> = {
  kind: "kernel",
  name: "pool",
  lower: (context: Lowering<PoolAttributes>) => {
    const input = context.input(0);
    const output = context.output(orderOf(input.view));
    context.emit({ kernel: "pool", input, output, ...context.attributes });
  },
  gradient: ({ inputs: [x], gradient, attributes: { op, geometry } }) =>
    op === "argmax" ? [undefined] : [poolGradient(op, gradient, x, geometry)],
};

function pool(op: PoolCall["op"], x: Tensor, shape: Shape, geometry: PoolGeometry): Tensor {
  return createNode(poolOp, [x], { op, geometry }, shape, op === "argmax" ? "int32" : "float32");
}

/** Inputs: the output's gradient and, for max, the pool's input, from which the positions of the maxima are found. */
const poolGradOp: KernelOp<PoolGradAttributes> = {
  kind: "kernel",
  name: "poolGrad",
  lower: (context: Lowering<PoolGradAttributes>) => {
    const { op, geometry } = context.attributes;
    const gradOutput = context.input(0);
    const input = op === "max" ? context.input(1) : undefined;
    const gradInput = context.output(orderOf((input ?? gradOutput).view));
    context.emit({ kernel: "poolGrad", op, input, gradOutput, gradInput, geometry });
  },
  // Linear in the gradient; the positions of the maxima do not change with small changes of the input.
  gradient: ({ inputs: [gradOutput, x], gradient, attributes: { op, geometry } }) => [
    op === "average"
      ? pool("average", gradient, gradOutput.shape, geometry)
      : atMaxima(gradient, pool("argmax", x, gradOutput.shape, geometry)),
    undefined,
  ],
};

function poolGradient(op: "max" | "average", gradient: Tensor, x: Tensor, geometry: PoolGeometry): Tensor {
  const inputs = op === "max" ? [gradient, x] : [gradient];
  return createNode(poolGradOp, inputs, { op, geometry }, x.shape, "float32");
}

/** The elements of x [N, C, H, W] at `positions` [N, C, OH, OW], which are h·W + w. */
function atMaxima(x: Tensor, positions: Tensor): Tensor {
  const planes = x.shape.slice(0, 2);
  const picked = gather(reshape(x, [...planes, -1]), 2, reshape(positions, [...planes, -1]));
  return reshape(picked, positions.shape);
}

function windows(op: string, x: Tensor, kernel: Pair, options: AvgPoolOptions): [Shape, PoolGeometry] {
  requireFloat(x, op);
  if (x.rank !== 4) {
    throw new ShapeError(`the input is [N, C, H, W], got ${formatShape(x.shape)}`, { op });
  }
  const size = asPair(kernel, "kernel", 1, op);
  const stride = asPair(options.stride ?? size, "stride", 1, op);
  const padding = asPair(options.padding ?? 0, "padding", 0, op);
  if (padding.some((n, i) => 2 * n > size[i])) {
    throw new ArgumentError(
      `padding ${formatShape(padding)} is more than half of the kernel ${formatShape(size)}`,
      {
        op,
      },
    );
  }
  const [height, width] = [0, 1].map(
    (i) => Math.floor((x.shape[2 + i] + 2 * padding[i] - size[i]) / stride[i]) + 1,
  );
  if (height < 1 || width < 1) {
    throw new ShapeError(
      `a window of ${formatShape(size)} is larger than the input ${formatShape(x.shape)}`,
      { op },
    );
  }
  const countIncludePad = options.countIncludePad ?? true;
  return [[x.shape[0], x.shape[1], height, width], { kernel: size, stride, padding, countIncludePad }];
}

/**
 * The maximum of each window: x [N, C, H, W] → [N, C, OH, OW] with OH = ⌊(H + 2·padding − kernel)/stride⌋ + 1; float32, NaN if the
 * window holds one. The gradient goes to the first of equal maxima.
 *
 * @example
 * maxPool2d(tensor([[[[1, 2], [3, 4]]]]), 2); // [[[[4]]]]
 *
 * @throws ShapeError for an input smaller than the window, ArgumentError for padding above half the kernel.
 */
export function maxPool2d(x: Tensor, kernel: Pair, options: PoolOptions = {}): Tensor {
  const [shape, geometry] = windows("maxPool2d", x, kernel, checkOptions("maxPool2d", options, poolOptions));
  return inComposite("maxPool2d", () => pool("max", x, shape, geometry));
}

/**
 * The mean of each window; shapes and errors as for `maxPool2d`. float32.
 *
 * @example
 * avgPool2d(tensor([[[[1, 2], [3, 4]]]]), 2); // [[[[2.5]]]]
 */
export function avgPool2d(x: Tensor, kernel: Pair, options: AvgPoolOptions = {}): Tensor {
  const [shape, geometry] = windows(
    "avgPool2d",
    x,
    kernel,
    checkOptions("avgPool2d", options, avgPoolOptions()),
  );
  return inComposite("avgPool2d", () => pool("average", x, shape, geometry));
}

/**
 * The mean over height and width: [N, C, H, W] → [N, C, 1, 1]. The output size 1 is the only one supported. float32.
 *
 * @example
 * adaptiveAvgPool2d(tensor([[[[1, 2], [3, 4]]]]), 1); // [[[[2.5]]]]
 *
 * @throws ArgumentError for another output size.
 */
export function adaptiveAvgPool2d(x: Tensor, outputSize: Pair): Tensor {
  const [height, width] = asPair(outputSize, "outputSize", 1, "adaptiveAvgPool2d");
  if (height !== 1 || width !== 1) {
    throw new ArgumentError(`only the output size 1 is supported, got [${height}, ${width}]`, {
      op: "adaptiveAvgPool2d",
      hint: "use avgPool2d with a fixed kernel",
    });
  }
  if (requireTensor("adaptiveAvgPool2d", x).rank < 2) {
    throw new ShapeError(`the input is [N, C, H, W], got ${formatShape(x.shape)}`, {
      op: "adaptiveAvgPool2d",
    });
  }
  return inComposite("adaptiveAvgPool2d", () => mean(x, [-2, -1], { keepdim: true }));
}
