/** Operands of products with packed weights as their shaders read them: in place where texels allow it, else copied. */
import { sizeOf } from "../../../core/shape.js";
import { rowMajor } from "../../../core/view.js";
import type { Expression, Operand, QuantizedFormat } from "../../../kernels/kernel.js";
import { panelRows, stepLength } from "../../../kernels/packed.js";
import { lanes } from "../gl/storage.js";
import type { PassBuilder } from "../shader/builder.js";
import { prepareMap } from "./map.js";
import { pitchFor } from "./product.js";

/** Steps along k that one turn of the loop takes, if they come in as many: one position of the texture serves both. */
export const unrolled = 2;
/** Texels of a step of a panel: each holds the words of four rows. */
export const stepTexels = panelRows / lanes;

/** Weights of a row in a texel. */
export function valuesOfTexel({ bits }: QuantizedFormat): number {
  return bits === 4 ? 2 * stepLength : stepLength;
}

export interface QuantizedFactors {
  /** [matrices, m, k], int8 or float32. */
  readonly input: Operand;
  /** Packed, one matrix [n, k] after the other. */
  readonly weight: Operand;
  readonly format: QuantizedFormat;
  readonly n: number;
  /** Of weights in groups: the scales of the input's groups [m, k / groupSize], and those of the weights' as they are packed. */
  readonly inputScales?: Operand;
  readonly scales?: Operand;
  readonly minimums?: Operand;
}

/** The input with rows of whole texels, and whether no row crosses lines of the texture: as it lies if possible, else a copy. */
export function alignedRows(
  input: Operand,
  builder: PassBuilder,
): { readonly input: Operand; readonly isStraight: boolean } {
  const { shape, strides, offset } = input.view;
  const [matrices, m, k] = shape;
  const isWhole = (stride: number, extent: number) => extent === 1 || stride % lanes === 0;
  const isAligned =
    (strides[2] === 1 || k === 1) &&
    isWhole(strides[0], matrices) &&
    isWhole(strides[1], m) &&
    offset % lanes === 0 &&
    // The weights beyond k are 0, and so are their products with all integers, but not with all floats.
    (input.dtype === "int8" || k % lanes === 0);
  const used = isAligned ? input : copiedRows(input, builder);
  const { view } = used;
  const texels = Math.ceil(k / lanes);
  const line = builder.textureWidthOf(used.slot);
  const isSingle = matrices * m === 1;
  const pitch = isSingle ? line : view.strides[1] / lanes;
  const isStraight =
    pitch > 0 &&
    line % pitch === 0 &&
    ((view.offset / lanes) % pitch) + texels <= pitch &&
    (matrices === 1 || (view.strides[0] / lanes) % pitch === 0);
  return { input: used, isStraight };
}

/** A copy with rows of whole texels, zeros behind them. */
function copiedRows(input: Operand, builder: PassBuilder): Operand {
  const { dtype } = input;
  const [matrices, m, k] = input.view.shape;
  const pitch = pitchFor(Math.max(k, 1), builder);
  const view = rowMajor([matrices, m, pitch]);
  const slot = builder.scratch(dtype, sizeOf(view.shape));
  const constant = (value: number, type: "int32" | typeof dtype) =>
    ({ op: "constant", dtype: type, args: [], value }) as const;
  const expression: Expression = {
    instructions: [
      { op: "load", dtype, args: [], index: 0 },
      { op: "iota", dtype: "int32", args: [], index: 2 },
      constant(k, "int32"),
      { op: "lt", dtype: "bool", args: [1, 2] },
      constant(0, dtype),
      { op: "where", dtype, args: [3, 0, 4] },
    ],
    results: [5],
  };
  const source = { ...input, view: { ...input.view, shape: view.shape } };
  const call = { shape: view.shape, inputs: [source], outputs: [{ slot, dtype, view }], expression };
  prepareMap({ kernel: "map", ...call }, builder);
  return { slot, dtype, view: { ...view, shape: input.view.shape } };
}

/** Weights of which what a turn of the loop reads lies on one line of the texture. */
export function alignedWeight(weight: Operand, builder: PassBuilder): Operand {
  const { view } = weight;
  const isAligned = view.strides[0] === 1 && view.offset % (lanes * stepTexels * unrolled) === 0;
  return isAligned ? weight : copied(weight, builder);
}

export function denseScales(scales: Operand, builder: PassBuilder): Operand {
  const { shape, strides, offset } = scales.view;
  const dense = rowMajor(shape).strides;
  const isDense = strides.every((stride, d) => stride === dense[d] || shape[d] === 1);
  return isDense && offset % lanes === 0 ? scales : copied(scales, builder);
}

/** A dense copy. */
function copied(operand: Operand, builder: PassBuilder): Operand {
  const { dtype } = operand;
  const { shape } = operand.view;
  const slot = builder.scratch(dtype, sizeOf(shape));
  const result: Operand = { slot, dtype, view: rowMajor(shape) };
  const expression: Expression = { instructions: [{ op: "load", dtype, args: [], index: 0 }], results: [0] };
  prepareMap({ kernel: "map", shape, inputs: [operand], outputs: [result], expression }, builder);
  return result;
}
