/** Convolutions. Layouts are PyTorch's: inputs [N, C, H, W], weights [O, C/groups, KH, KW]. */

import { aCount, aNumber, aPair, check, checkOptions, isPlain, type Kinds } from "../core/check.js";
import { ArgumentError, ShapeError } from "../core/errors.js";
import { formatShape, type Shape } from "../core/shape.js";
import type { KernelOp, Lowering } from "../graph/op.js";
import { inComposite } from "../graph/scope.js";
import { createNode, type Tensor } from "../graph/tensor.js";
import type { ConvGeometry } from "../kernels/kernel.js";
import { add } from "./elementwise.js";
import { requireFloat, requireWeight } from "./promotion.js";
import { reshape, squeeze, unsqueeze } from "./reshape.js";

/** One number for both spatial dimensions, or [height, width]. */
export type Pair = number | readonly [number, number];

/** Options of `conv2d`. */
export interface ConvOptions {
  /** Default 1. */
  readonly stride?: Pair;
  /** Zeros added on each side of the input. Default 0. */
  readonly padding?: Pair;
  /** Distance between the elements of the kernel. Default 1. */
  readonly dilation?: Pair;
  /** Number of groups: each connects C/groups input channels with O/groups output channels. Default 1. */
  readonly groups?: number;
}

export const convOptions: Kinds<ConvOptions> = {
  stride: aPair,
  padding: aPair,
  dilation: aPair,
  groups: aCount,
};

interface ConvAttributes {
  readonly geometry: ConvGeometry;
}

/** The memory order in which the device wants activations. */
function activationOrder({ info }: Lowering<ConvAttributes>): number[] | undefined {
  return info.convLayout === "channels-last" ? [0, 2, 3, 1] : undefined;
}

/* The three ops compute one trilinear form for one of its operands each: they are each other's gradients. */

/** Inputs: input, weight. */
const convOp: KernelOp<ConvAttributes> = {
  kind: "kernel",
  name: "conv2d",
  takesEpilogue: "same shape",
  lower: (context: Lowering<ConvAttributes>) => {
    const [input, weight] = [context.input(0), context.input(1)];
    const output = context.output(activationOrder(context));
    context.emit({ kernel: "conv", input, weight, output, geometry: context.attributes.geometry });
  },
  gradient: ({ inputs: [input, weight], gradient, attributes: { geometry }, needs }) => [
    needs(0) ? convInput(gradient, weight, input.shape, geometry) : undefined,
    needs(1) ? convWeight(input, gradient, weight.shape, geometry) : undefined,
  ],
};

/** Inputs: output, weight. */
const convInputOp: KernelOp<ConvAttributes> = {
  kind: "kernel",
  name: "convGradInput",
  lower: (context: Lowering<ConvAttributes>) => {
    const [output, weight] = [context.input(0), context.input(1)];
    const input = context.output(activationOrder(context));
    context.emit({ kernel: "convGradInput", input, weight, output, geometry: context.attributes.geometry });
  },
  gradient: ({ inputs: [output, weight], gradient, attributes: { geometry }, needs }) => [
    needs(0) ? conv(gradient, weight, output.shape, geometry) : undefined,
    needs(1) ? convWeight(gradient, output, weight.shape, geometry) : undefined,
  ],
};

/** Inputs: input, output. */
const convWeightOp: KernelOp<ConvAttributes> = {
  kind: "kernel",
  name: "convGradWeight",
  lower: (context: Lowering<ConvAttributes>) => {
    const [input, output] = [context.input(0), context.input(1)];
    const weight = context.output();
    context.emit({ kernel: "convGradWeight", input, weight, output, geometry: context.attributes.geometry });
  },
  gradient: ({ inputs: [input, output], gradient, attributes: { geometry }, needs }) => [
    needs(0) ? convInput(output, gradient, input.shape, geometry) : undefined,
    needs(1) ? conv(input, gradient, output.shape, geometry) : undefined,
  ],
};

function conv(input: Tensor, weight: Tensor, shape: Shape, geometry: ConvGeometry): Tensor {
  return createNode(convOp, [input, weight], { geometry }, shape, "float32");
}

function convInput(output: Tensor, weight: Tensor, shape: Shape, geometry: ConvGeometry): Tensor {
  return createNode(convInputOp, [output, weight], { geometry }, shape, "float32");
}

function convWeight(input: Tensor, output: Tensor, shape: Shape, geometry: ConvGeometry): Tensor {
  return createNode(convWeightOp, [input, output], { geometry }, shape, "float32");
}

/** [height, width] from a pair option. @throws ArgumentError for anything but integers of at least `least`. */
export function asPair(value: Pair, name: string, least: number, op: string): readonly [number, number] {
  check(op, name, value, aPair);
  const pair: readonly [number, number] = typeof value === "number" ? [value, value] : value;
  if (pair.length !== 2 || !pair.every((n) => Number.isInteger(n) && n >= least)) {
    throw new ArgumentError(`${name} is one or two integers ≥ ${least}, got ${formatShape(pair)}`, { op });
  }
  return pair;
}

/** @throws ArgumentError for options outside their domain. */
export function geometryOf(
  op: string,
  { stride = 1, padding = 0, dilation = 1, groups = 1 }: ConvOptions,
): ConvGeometry {
  if (!Number.isInteger(groups) || groups < 1) {
    throw new ArgumentError(`groups is a positive integer, got ${groups}`, { op });
  }
  return {
    stride: asPair(stride, "stride", 1, op),
    padding: asPair(padding, "padding", 0, op),
    dilation: asPair(dilation, "dilation", 1, op),
    groups,
  };
}

function shapesDoNotFit(op: string, x: Tensor, weight: Shape, hint: string): ShapeError {
  return new ShapeError(
    `an input of shape ${formatShape(x.shape)} does not fit the weight ${formatShape(weight)}`,
    { op, hint },
  );
}

/**
 * 2-D cross-correlation: x [N, C, H, W], weight [O, C/groups, KH, KW], bias [O] → [N, O, OH, OW] with
 * OH = ⌊(H + 2·padding − dilation·(KH − 1) − 1)/stride⌋ + 1. float32. Without a bias the options may take its place.
 *
 * @example
 * const x = tensor([[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]]);
 * const weight = ones([1, 1, 2, 2]);
 * conv2d(x, weight); // [[[[12, 16], [24, 28]]]]
 * conv2d(x, weight, tensor([0.5]), { stride: 2, padding: 1 }); // [[[[1.5, 5.5], [11.5, 28.5]]]]
 *
 * @throws ShapeError if the channels do not fit or the kernel is larger than the padded input.
 */
export function conv2d(x: Tensor, weight: Tensor, options: ConvOptions): Tensor;
export function conv2d(x: Tensor, weight: Tensor, bias?: Tensor, options?: ConvOptions): Tensor;
export function conv2d(
  x: Tensor,
  weight: Tensor,
  biasOrOptions?: Tensor | ConvOptions,
  options?: ConvOptions,
): Tensor {
  return convolve("conv2d", x, weight, ...biasAndOptions("conv2d", biasOrOptions, options, convOptions));
}

/** Whether the third argument of a convolution is its bias or its options. */
function biasAndOptions<T extends object>(
  op: string,
  third: Tensor | T | undefined,
  given: T | undefined,
  kinds: Kinds<T>,
): [bias: Tensor | undefined, options: Partial<T>] {
  const [bias, options] = given === undefined && isPlain(third) ? [undefined, third as T] : [third, given];
  return [bias as Tensor | undefined, checkOptions(op, options, kinds)];
}

function convolve(
  op: string,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  options: ConvOptions,
): Tensor {
  requireFloat(x, op);
  requireWeight(weight, op);
  const geometry = geometryOf(op, options);
  const shape = [x.shape[0], weight.shape[0], ...convExtents(op, x, weight.shape, geometry)];
  return inComposite(op, () => withBias(op, conv(x, weight, shape, geometry), bias));
}

/** [OH, OW] of a convolution of x with weights of shape `weight`. @throws ShapeError if they do not fit. */
export function convExtents(op: string, x: Tensor, weight: Shape, geometry: ConvGeometry): readonly number[] {
  const { stride, padding, dilation, groups } = geometry;
  const fits = x.rank === 4 && weight.length === 4 && x.shape[1] === weight[1] * groups;
  if (!fits || weight[0] % groups !== 0) {
    throw shapesDoNotFit(op, x, weight, `channels are C and C/groups with ${groups} groups`);
  }
  const extents = [0, 1].map((i) => {
    const extent = dilation[i] * (weight[2 + i] - 1) + 1;
    return Math.floor((x.shape[2 + i] + 2 * padding[i] - extent) / stride[i]) + 1;
  });
  if (extents.some((extent) => extent < 1)) {
    throw shapesDoNotFit(op, x, weight, "the filter is larger than the padded input");
  }
  return extents;
}

function withBias(op: string, output: Tensor, bias: Tensor | undefined): Tensor {
  if (bias === undefined) return output;
  requireFloat(bias, op, "the bias");
  const channels = output.shape[1];
  if (bias.rank !== 1 || bias.size !== channels) {
    throw new ShapeError(`a bias of shape ${formatShape(bias.shape)} does not fit ${channels} channels`, {
      op,
    });
  }
  return add(output, reshape(bias, [1, channels, 1, 1]));
}

/** Options of `conv1d`: those of `conv2d` for one dimension. */
export interface Conv1dOptions {
  /** Default 1. */
  readonly stride?: number;
  /** Zeros added at each end. Default 0. */
  readonly padding?: number;
  /** Distance between the elements of the kernel. Default 1. */
  readonly dilation?: number;
  /** Number of groups of channels. Default 1. */
  readonly groups?: number;
}

const conv1dOptions: Kinds<Conv1dOptions> = {
  stride: aNumber,
  padding: aNumber,
  dilation: aNumber,
  groups: aCount,
};

/**
 * 1-D cross-correlation: x [N, C, L], weight [O, C/groups, K], bias [O] → [N, O, OL]; float32. Lengths and errors as for `conv2d`.
 *
 * @example
 * conv1d(tensor([[[1, 2, 3, 4]]]), tensor([[[1, -1]]])); // [[[-1, -1, -1]]]
 */
export function conv1d(x: Tensor, weight: Tensor, options: Conv1dOptions): Tensor;
export function conv1d(x: Tensor, weight: Tensor, bias?: Tensor, options?: Conv1dOptions): Tensor;
export function conv1d(
  x: Tensor,
  weight: Tensor,
  biasOrOptions?: Tensor | Conv1dOptions,
  options?: Conv1dOptions,
): Tensor {
  const op = "conv1d";
  requireFloat(x, op);
  requireWeight(weight, op);
  const [bias, given] = biasAndOptions(op, biasOrOptions, options, conv1dOptions);
  const { stride = 1, padding = 0, dilation = 1, groups } = given;
  if (x.rank !== 3 || weight.rank !== 3) {
    throw shapesDoNotFit(op, x, weight.shape, "the input is [N, C, L], the weight [O, C/groups, K]");
  }
  const result = convolve(op, unsqueeze(x, 2), unsqueeze(weight, 2), bias, {
    stride: [1, stride],
    padding: [0, padding],
    dilation: [1, dilation],
    groups,
  });
  return squeeze(result, 2);
}

/** Options of `convTranspose2d`. */
export interface ConvTransposeOptions extends ConvOptions {
  /** Added to the output's extents at the far side, smaller than stride or dilation. Default 0. */
  readonly outputPadding?: Pair;
}

const convTransposeOptions = (): Kinds<ConvTransposeOptions> => ({ ...convOptions, outputPadding: aPair });

/**
 * Transposed convolution, the gradient of `conv2d` with respect to its input: x [N, C, H, W], weight
 * [C, O/groups, KH, KW], bias [O] → [N, O, OH, OW] with
 * OH = (H − 1)·stride − 2·padding + dilation·(KH − 1) + outputPadding + 1. float32.
 *
 * @example
 * convTranspose2d(tensor([[[[1, 2]]]]), ones([1, 1, 1, 2]), { stride: 2 }); // [[[[1, 1, 2, 2]]]]
 *
 * @throws ShapeError if the channels do not fit, ArgumentError for an output padding that is not below the stride or dilation.
 */
export function convTranspose2d(x: Tensor, weight: Tensor, options: ConvTransposeOptions): Tensor;
export function convTranspose2d(
  x: Tensor,
  weight: Tensor,
  bias?: Tensor,
  options?: ConvTransposeOptions,
): Tensor;
export function convTranspose2d(
  x: Tensor,
  weight: Tensor,
  biasOrOptions?: Tensor | ConvTransposeOptions,
  given?: ConvTransposeOptions,
): Tensor {
  const op = "convTranspose2d";
  requireFloat(x, op);
  requireWeight(weight, op);
  const [bias, options] = biasAndOptions(op, biasOrOptions, given, convTransposeOptions());
  const geometry = geometryOf(op, options);
  const { stride, padding, dilation, groups } = geometry;
  const extra = asPair(options.outputPadding ?? 0, "outputPadding", 0, op);
  const fits = x.rank === 4 && weight.rank === 4 && x.shape[1] === weight.shape[0];
  if (!fits || weight.shape[0] % groups !== 0) {
    throw shapesDoNotFit(op, x, weight.shape, "the weight is [C, O/groups, KH, KW]");
  }
  if (extra.some((n, i) => n >= Math.max(stride[i], dilation[i]))) {
    throw new ArgumentError(`outputPadding ${formatShape(extra)} is not smaller than stride or dilation`, {
      op,
    });
  }
  const [height, width] = [0, 1].map((i) => {
    const extent = dilation[i] * (weight.shape[2 + i] - 1) + 1;
    return (x.shape[2 + i] - 1) * stride[i] - 2 * padding[i] + extent + extra[i];
  });
  if (height < 1 || width < 1) throw shapesDoNotFit(op, x, weight.shape, "the padding leaves no output");
  const shape = [x.shape[0], weight.shape[1] * groups, height, width];
  return inComposite(op, () => withBias(op, convInput(x, weight, shape, geometry), bias));
}
