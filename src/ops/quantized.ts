/** Products of int8 tensors with packed weights: linear layers and convolutions after quantization. */

import { aNumber, checkOptions, type Kinds } from "../core/check.js";
import { ArgumentError, DTypeError, ShapeError } from "../core/errors.js";
import { formatShape, type Shape, sizeOf } from "../core/shape.js";
import type { KernelOp, Lowering } from "../graph/op.js";
import { aTensor, requireTensor } from "../graph/require.js";
import { inComposite } from "../graph/scope.js";
import { createNode, type Tensor } from "../graph/tensor.js";
import type { ConvGeometry, Operand, QuantizedFormat } from "../kernels/kernel.js";
import { panelRows } from "../kernels/packed.js";
import { type ConvOptions, convExtents, convOptions, geometryOf } from "./convolution.js";
import { add, relu } from "./elementwise.js";
import { type GroupOffsets, kernelOffsets, requireOffsets } from "./group_offsets.js";
import { matmul } from "./linalg.js";
import { type PackedWeight, requirePacked } from "./packed_weight.js";
import { requireFloat } from "./promotion.js";
import { requantize } from "./quantize.js";
import { reshape } from "./reshape.js";
import { dequantizeWeight } from "./unpack_weight.js";

/** Options of `quantizedLinear`: how the int32 accumulators become the result. */
export interface QuantizedOptions {
  /** float32 [out]: scales of the weights, times the input's scale if it has only one. Of groups see `groupScales`. */
  readonly scales?: Tensor;
  /** float32 scales of the input's rows, [..., 1]; for weights in groups those of its groups, [..., in/groupSize]; for images [N, 1, 1, 1]. */
  readonly inputScales?: Tensor;
  /** int32 [out], added to the accumulators. */
  readonly offsets?: Tensor;
  /** float32 [out], added to a float32 result. */
  readonly bias?: Tensor;
  /** Default float32. int32 returns the accumulators; int8 requantizes with `zeroPoint` and the factors `scales`. */
  readonly dtype?: "float32" | "int32" | "int8";
  /** Zero point of an int8 result. Default 0. */
  readonly zeroPoint?: number;
  /** Activation function, applied last. Default none. */
  readonly activation?: "relu";
}

const quantizedOptions: Kinds<QuantizedOptions> = {
  scales: aTensor,
  inputScales: aTensor,
  offsets: aTensor,
  bias: aTensor,
  dtype: [
    "one of float32, int32, int8",
    (value) => value === "float32" || value === "int32" || value === "int8",
  ],
  zeroPoint: aNumber,
  activation: [`"relu"`, (value) => value === "relu"],
};

/** Options of `quantizedLinear`. */
export interface QuantizedLinearOptions extends QuantizedOptions, GroupOffsets {}

const quantizedLinearOptions = (): Kinds<QuantizedLinearOptions> => ({
  ...quantizedOptions,
  zeroPoints: aTensor,
  minimums: aTensor,
});

/** The tensors that a quantized product may read besides input and weight, in this order. */
const dequantizationInputs = ["scales", "inputScales", "offsets", "minimums"] as const;
type DequantizationInput = (typeof dequantizationInputs)[number];
type OptionalInput = Exclude<DequantizationInput, "minimums"> | "bias";

interface ProductAttributes {
  readonly format: QuantizedFormat;
  readonly present: readonly DequantizationInput[];
}

interface QconvAttributes extends ProductAttributes {
  readonly geometry: ConvGeometry;
  readonly kernelSize: readonly [number, number];
  readonly inputZeroPoint: number;
}

function dequantizationOf({ attributes, input }: Lowering<ProductAttributes>) {
  const operands: Partial<Record<DequantizationInput, Operand>> = {};
  attributes.present.forEach((name, i) => {
    operands[name] = input(2 + i);
  });
  return operands;
}

/** int8 values: the accumulators, or with scales float32. float32 values have a gradient. */
const qmatmulOp: KernelOp<ProductAttributes> = {
  kind: "kernel",
  name: "qmatmul",
  takesEpilogue: "reshaped",
  epilogueCasts: true,
  lower: (context) => {
    const { format } = context.attributes;
    const [input, weight] = [context.input(0), context.input(1)];
    const operands = dequantizationOf(context);
    context.emit({ kernel: "qmatmul", input, weight, format, ...operands, output: context.output() });
  },
  gradient: ({ inputs, output, gradient, attributes: { format, present }, needs }) => {
    const [x, packed] = inputs;
    const toInput = () => {
      const scales = inputs[2 + present.indexOf("scales")];
      return matmul(gradient, dequantizeWeight(packed, [output.shape[1], x.shape[1]], format, scales));
    };
    return [needs(0) ? toInput() : undefined, undefined, ...present.map(() => undefined)];
  },
};

const qconvOp: KernelOp<QconvAttributes> = {
  kind: "kernel",
  name: "qconv",
  takesEpilogue: "same shape",
  epilogueCasts: true,
  lower: (context) => {
    const { format, geometry, kernelSize, inputZeroPoint } = context.attributes;
    const [input, weight] = [context.input(0), context.input(1)];
    const operands = dequantizationOf(context);
    const output = context.output(context.info.convLayout === "channels-last" ? [0, 2, 3, 1] : undefined);
    context.emit({
      kernel: "qconv",
      input,
      weight,
      format,
      geometry,
      kernelSize,
      inputZeroPoint,
      ...operands,
      output,
    });
  },
};

type Optionals = { readonly [Name in OptionalInput]: Tensor | undefined } & { readonly minimums?: Tensor };

/** The given optional tensors, checked. @throws ShapeError, DTypeError, ArgumentError */
function optionalsOf(
  op: string,
  out: number,
  options: QuantizedOptions,
  shapes: { readonly scales: Shape; readonly inputScales: Shape },
): Optionals {
  const { dtype = "float32" } = options;
  const need = (condition: boolean, message: string) => {
    if (!condition) throw new ArgumentError(message, { op });
  };
  need(
    (dtype === "int32") === (options.scales === undefined),
    "scales belong to a result of float32 or int8",
  );
  need(dtype === "float32" || options.bias === undefined, "a bias belongs to a float32 result; see offsets");
  need(
    dtype === "float32" || options.inputScales === undefined,
    "scales of the input belong to a float32 result",
  );
  need(dtype === "int8" || options.zeroPoint === undefined, "a zero point belongs to an int8 result");
  need(
    dtype !== "int32" || options.activation === undefined,
    "an activation belongs to a float32 or int8 result",
  );
  const expected = { offsets: [out], bias: [out], ...shapes };
  const given = (name: OptionalInput) => {
    const tensor = options[name];
    if (tensor === undefined) return undefined;
    const wanted = name === "offsets" ? "int32" : "float32";
    if (tensor.dtype !== wanted) throw new DTypeError(`${name} are ${wanted}, got ${tensor.dtype}`, { op });
    if (tensor.size !== sizeOf(expected[name])) {
      throw new ShapeError(
        `${name} of shape ${formatShape(tensor.shape)} do not fit, ${formatShape(expected[name])} are needed`,
        { op },
      );
    }
    return reshape(tensor, expected[name]);
  };
  return {
    scales: given("scales"),
    inputScales: given("inputScales"),
    offsets: given("offsets"),
    bias: given("bias"),
  };
}

/**
 * The product of the kernel, and what the options want to be made of it. `columns`: the shape in which a vector [out] expands to it.
 * `result`: the shape that it takes before the bias is added: a reshape after that would keep the expressions that follow apart from
 * the kernel.
 */
function finished<A>(
  kernel: KernelOp<A & ProductAttributes>,
  [x, { packed, format }]: readonly [Tensor, PackedWeight],
  optionals: Optionals,
  attributes: A,
  shape: Shape,
  columns: Shape,
  { dtype = "float32", activation, zeroPoint = 0 }: QuantizedOptions,
  result = shape,
): Tensor {
  const withRelu = activation === "relu";
  const { scales, bias } = optionals;
  // int8 results are computed from the exact accumulators, so that they have the same bits on every device.
  const read = dtype === "int8" ? { ...optionals, scales: undefined } : optionals;
  const present = dequantizationInputs.filter((name) => read[name] !== undefined);
  const product = createNode(
    kernel,
    [x, packed, ...present.map((name) => read[name]!)],
    { ...attributes, format, present },
    shape,
    dtype === "float32" ? "float32" : "int32",
  );
  const value = reshape(product, result);
  if (dtype === "int32") return value;
  if (dtype === "int8") return requantize(value, reshape(scales!, columns), zeroPoint, withRelu);
  const sum = bias === undefined ? value : add(value, reshape(bias, columns));
  return withRelu ? relu(sum) : sum;
}

/**
 * x · weightᵀ for packed weights [out, in]: int8 x [..., in] → [..., out]. The accumulators are exact int32; the options convert
 * them to the result.
 *
 * float32 x is multiplied in float32 (weights of 8 or 7 bits) and is differentiable: ∂/∂x is the arriving gradient times the
 * dequantized weight, ∂/∂bias its sum; weights and scales get no gradient. Weights in groups (of 4 bits; of 8 as in GGUF's Q8_0) need
 * int8 x, `inputScales` and `groupScales(…)`. Groups of 4 bits may have zero points or minimums, as in GGUF's Q4_1 and ONNX's
 * MatMulNBits.
 *
 * @example
 * const weight = packWeight(tensor([[100, 50]], { dtype: "int8" }));
 * const { values, scales } = quantizeDynamic(tensor([[1, 2]]), -1);
 * quantizedLinear(values, weight, { scales: tensor([0.01]), inputScales: scales }); // [[2.01]]
 *
 * @throws DTypeError, ShapeError or ArgumentError if an operand or option does not fit.
 */
export function quantizedLinear(
  x: Tensor,
  weight: PackedWeight,
  options: QuantizedLinearOptions = {},
): Tensor {
  const op = "quantizedLinear";
  requireTensor(op, x);
  checkOptions(op, options, quantizedLinearOptions());
  requirePacked(weight, 2, op);
  const [n, k] = weight.shape;
  const { format } = weight;
  const { groupSize } = format;
  const { zeroPoints, minimums } = options;
  if (zeroPoints || minimums) requireOffsets(op, options, weight);
  if (x.rank === 0 || x.shape[x.rank - 1] !== k) {
    throw new ShapeError(
      `an input of shape ${formatShape(x.shape)} does not fit the weight ${formatShape(weight.shape)}`,
      { op, hint: "the weight is [out, in] and the input [..., in]" },
    );
  }
  const { dtype = "float32" } = options;
  if (x.dtype !== "int8") {
    requireFloat(x, op);
    if (groupSize !== undefined || dtype !== "float32" || options.offsets || options.inputScales) {
      throw new ArgumentError(
        "a float32 input goes with weights of 8 or 7 bits without groups, scales, bias and a float32 result",
        {
          op,
          hint: "quantizeDynamic gives int8",
        },
      );
    }
  }
  const m = sizeOf(x.shape.slice(0, -1));
  if (groupSize !== undefined && (dtype !== "float32" || !options.inputScales || options.offsets)) {
    throw new ArgumentError("weights in groups need scales of the input, and give float32 without offsets", {
      op,
    });
  }
  const groups = groupSize === undefined ? 1 : k / groupSize;
  const arranged = Math.ceil(n / panelRows) * panelRows * groups;
  const optionals = optionalsOf(op, n, options, {
    scales: [groupSize === undefined ? n : arranged],
    inputScales: groupSize === undefined ? [m] : [m, groups],
  });
  const rows = reshape(x, [m, k]);
  return inComposite(op, () => {
    const offsets = zeroPoints || minimums ? kernelOffsets(options, format, optionals.scales!) : weight;
    const all = { ...optionals, minimums: offsets.minimums && reshape(offsets.minimums, [arranged]) };
    const result = x.shape.with(-1, n);
    return finished(qmatmulOp, [rows, { ...weight, ...offsets }], all, {}, [m, n], [n], options, result);
  });
}

/** Options of `quantizedConv2d`. */
export interface QuantizedConvOptions extends QuantizedOptions, ConvOptions {
  /** Zero point of the input, and the value of its padding. Default 0. */
  readonly inputZeroPoint?: number;
}

const quantizedConvOptions = (): Kinds<QuantizedConvOptions> => ({
  ...quantizedOptions,
  ...convOptions,
  inputZeroPoint: aNumber,
});

/**
 * 2-D cross-correlation of int8 x [N, C, H, W] with packed weights [O, C/groups, KH, KW] → [N, O, OH, OW], as `conv2d`. The
 * accumulators are exact int32; the options convert them to the result.
 *
 * @example
 * const weight = packWeight(ones([1, 1, 2, 2], { dtype: "int8" }));
 * quantizedConv2d(tensor([[[[1, 2], [3, 4]]]], { dtype: "int8" }), weight, { dtype: "int32" }); // [[[[10]]]]
 *
 * @throws DTypeError, ShapeError or ArgumentError if an operand or option does not fit.
 */
export function quantizedConv2d(x: Tensor, weight: PackedWeight, options: QuantizedConvOptions = {}): Tensor {
  const op = "quantizedConv2d";
  requireTensor(op, x);
  checkOptions(op, options, quantizedConvOptions());
  requirePacked(weight, 4, op);
  if (x.dtype !== "int8") {
    throw new DTypeError(`int8 is needed, got ${x.dtype}`, { op, hint: "quantizePerTensor gives int8" });
  }
  const geometry = geometryOf(op, options);
  if (geometry.groups !== (weight.groups ?? 1)) {
    throw new ArgumentError(
      `the weight was packed for ${weight.groups ?? 1} groups, not ${geometry.groups}`,
      { op },
    );
  }
  const { inputZeroPoint = 0 } = options;
  if (!Number.isInteger(inputZeroPoint) || inputZeroPoint < -128 || inputZeroPoint > 127) {
    throw new ArgumentError(`a zero point is a whole number from -128 to 127, got ${inputZeroPoint}`, { op });
  }
  const shape = [x.shape[0], weight.shape[0], ...convExtents(op, x, weight.shape, geometry)];
  const optionals = optionalsOf(op, weight.shape[0], options, {
    scales: [weight.shape[0]],
    inputScales: [x.shape[0]],
  });
  const attributes = {
    geometry,
    kernelSize: [weight.shape[2], weight.shape[3]] as const,
    inputZeroPoint,
  };
  return inComposite(op, () =>
    finished(qconvOp, [x, weight], optionals, attributes, shape, [weight.shape[0], 1, 1], options),
  );
}
