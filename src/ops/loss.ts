/** Loss functions. `reduction` "mean" (default) and "sum" return one number, "none" one per element or row. */
import { aNumber, anInteger, checkOptions, type Kinds, oneOf } from "../core/check.js";
import { ArgumentError, ShapeError } from "../core/errors.js";
import { formatShape, sameShape } from "../core/shape.js";
import type { IndexAttributes } from "../graph/op.js";
import { aTensor, requireTensor } from "../graph/require.js";
import { inComposite } from "../graph/scope.js";
import type { Tensor } from "../graph/tensor.js";
import { expand } from "./broadcast.js";
import { eq, ne, where } from "./comparison.js";
import { type CompositeRules, compose, composite } from "./composite.js";
import { abs, add, div, exp, log, log1p, mul, neg, relu, sigmoid, square, sub } from "./elementwise.js";
import { pick, pickRows } from "./indexing.js";
import { asFloat, asIndex, cast, requireFloat } from "./promotion.js";
import { max, mean, sum } from "./reduce.js";
import { reshape, unsqueeze } from "./reshape.js";
import { logSoftmax } from "./softmax.js";
import { iota } from "./source.js";

/** Reduction of a loss over its elements: mean, sum, or none. */
export type Reduction = "mean" | "sum" | "none";

/** Options of every loss. */
export interface LossOptions {
  /** Default "mean". */
  readonly reduction?: Reduction;
}

export const lossOptions: Kinds<LossOptions> = { reduction: oneOf<Reduction>("mean", "sum", "none") };

function reduced(loss: Tensor, reduction: Reduction = "mean"): Tensor {
  if (reduction === "none") return loss;
  return reduction === "sum" ? sum(loss) : mean(loss);
}

function requireSameShape(input: Tensor, target: Tensor, op: string): void {
  requireTensor(op, input);
  requireTensor(op, target, "the target");
  if (!sameShape(input.shape, target.shape)) {
    throw new ShapeError(
      `input and target differ in shape, ${formatShape(input.shape)} and ${formatShape(target.shape)}`,
      { op },
    );
  }
}

/**
 * The mean squared error: (input − target)², reduced, for two tensors of one shape. float32; int32 is converted.
 *
 * @example
 * mseLoss(tensor([1, 2]), tensor([1, 4])); // 2
 * mseLoss(tensor([1, 2]), tensor([1, 4]), { reduction: "none" }); // [0, 4]
 *
 * @throws ShapeError if the shapes differ.
 */
export function mseLoss(input: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  const { reduction } = checkOptions("mseLoss", options, lossOptions);
  requireSameShape(input, target, "mseLoss");
  return inComposite("mseLoss", () => reduced(square(sub(asFloat(input, "mseLoss"), target)), reduction));
}

/**
 * The mean absolute error: |input − target|, reduced, for two tensors of one shape. float32; int32 is converted.
 *
 * @example
 * l1Loss(tensor([1, 2]), tensor([1, 4])); // 1
 *
 * @throws ShapeError if the shapes differ.
 */
export function l1Loss(input: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  const { reduction } = checkOptions("l1Loss", options, lossOptions);
  requireSameShape(input, target, "l1Loss");
  return inComposite("l1Loss", () => reduced(abs(sub(asFloat(input, "l1Loss"), target)), reduction));
}

/** (1 − t)·x + max(−x, 0) + log(1 + e^(−|x|)), where nothing cancels for a target of 0 or 1. */
const logisticLoss: CompositeRules<undefined> = {
  name: "binaryCrossEntropyWithLogits",
  forward: ([x, t]) => add(add(mul(sub(1, t), x), relu(neg(x))), log1p(exp(neg(abs(x))))),
  gradient: ({ inputs: [x, t], gradient, needs }) => [
    mul(sub(sigmoid(x), t), gradient),
    needs(1) ? neg(mul(x, gradient)) : undefined,
  ],
};

/**
 * −t·log sigmoid(x) − (1 − t)·log(1 − sigmoid(x)), reduced, for logits x and targets t in 0…1 of the same shape. Large |x| do not
 * overflow.
 *
 * @example
 * binaryCrossEntropyWithLogits(tensor([0, 100]), tensor([1, 1])); // 0.3466
 */
export function binaryCrossEntropyWithLogits(
  logits: Tensor,
  target: Tensor,
  options: LossOptions = {},
): Tensor {
  const op = "binaryCrossEntropyWithLogits";
  const { reduction } = checkOptions(op, options, lossOptions);
  requireSameShape(logits, target, op);
  return inComposite(op, () =>
    reduced(compose(logisticLoss, [asFloat(logits, op), cast(target, "float32")], undefined), reduction),
  );
}

/** Options of losses over classes. */
export interface ClassificationOptions extends LossOptions {
  /** Targets with this value contribute nothing, for example padding. Default −100. */
  readonly ignoreIndex?: number;
  /** float32 [C]: the weight of each class; "mean" then divides by the sum of the targets' weights. */
  readonly weight?: Tensor;
}

const classificationOptions: Kinds<ClassificationOptions> = {
  ...lossOptions,
  ignoreIndex: anInteger,
  weight: aTensor,
};

/** Options of `crossEntropy`. */
export interface CrossEntropyOptions extends ClassificationOptions {
  /** ε: the target distribution is (1 − ε)·one-hot + ε/C (Szegedy et al. 2016). Default 0. */
  readonly labelSmoothing?: number;
}

export const crossEntropyOptions: Kinds<CrossEntropyOptions> = {
  ...classificationOptions,
  labelSmoothing: aNumber,
};

function relativeTotal(logits: Tensor): { largest: Tensor; logTotal: Tensor } {
  const largest = max(logits, 1, { keepdim: true });
  return { largest, logTotal: log(sum(exp(sub(logits, largest)), 1, { keepdim: true })) };
}

/** Indexing options for labels [N, 1, …] along dimension 1. */
type LabelAttributes = IndexAttributes & { readonly ignored: number };

/** x with 0 at ignored labels, even if x is not finite there. */
function unlessIgnored(x: Tensor, labels: Tensor, { ignored }: LabelAttributes): Tensor {
  return where(ne(labels, ignored), x, 0);
}

/**
 * log Σ exp(x − m) − (x[target] − m) along dimension 1, m the largest of each row: neither the log-probabilities nor a one-hot
 * target are stored, and no sum with m rounds. 0 for ignored targets.
 */
const negativeLogLikelihood = composite<LabelAttributes>({
  name: "crossEntropy",
  forward: ([logits, labels], attributes) => {
    const { largest, logTotal } = relativeTotal(logits);
    const loss = sub(logTotal, sub(pick(logits, labels, attributes), largest));
    return unlessIgnored(loss, labels, attributes);
  },
  gradient: ({ inputs: [logits, labels], gradient, attributes }) => {
    const { shape, device } = logits;
    const { largest, logTotal } = relativeTotal(logits);
    const probability = (x: Tensor) => exp(sub(sub(x, largest), logTotal));
    const wide = expand(labels, shape);
    const isTarget = eq(iota(1, shape, device), wide);
    // Depends on the logit at the label, so that the gradient of a bad label throws even if the loss is not read.
    const atTarget = sub(probability(pick(logits, labels, attributes)), 1);
    const moved = mul(where(isTarget, atTarget, probability(logits)), gradient);
    return [unlessIgnored(moved, wide, attributes), undefined];
  },
});

/**
 * −log softmax(logits)[target], reduced: logits float32 [N, C] or [N, C, d1, …], target (class indices, an integer dtype) [N] or
 * [N, d1, …]. "mean" divides by the number of targets that are not ignored.
 *
 * @example
 * crossEntropy(tensor([[2, 1, 0]]), tensor([0], { dtype: "int32" })); // 0.4076
 *
 * @throws ShapeError if the shapes do not fit, DTypeError for targets that are not integers. A target outside 0..C−1 other than
 * `ignoreIndex` makes every read that depends on it throw IndexError, and a step that depends on it updates nothing.
 */
export function crossEntropy(logits: Tensor, target: Tensor, options: CrossEntropyOptions = {}): Tensor {
  const op = "crossEntropy";
  const { labelSmoothing = 0, weight } = checkOptions(op, options, crossEntropyOptions);
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) {
    throw new ArgumentError(`labelSmoothing lies in 0..1, got ${labelSmoothing}`, { op });
  }
  const x = asFloat(logits, op);
  return inComposite(op, () => {
    const { labels, attributes, rowWeight } = rows(op, x, target, options);
    const hard = weighted(negativeLogLikelihood([x, labels], attributes), options, rowWeight);
    if (labelSmoothing === 0) return reducedBy(hard, target, rowWeight, options.reduction);
    const classes = x.shape[1];
    const logProbabilities = logSoftmax(x, 1);
    const perClass = weight ? mul(logProbabilities, alignClasses(weight, x)) : logProbabilities;
    const smooth = neg(div(sum(perClass, 1, { keepdim: true }), classes));
    const unignored = unlessIgnored(smooth, labels, attributes);
    const loss = add(mul(hard, 1 - labelSmoothing), mul(unignored, labelSmoothing));
    return reducedBy(loss, target, rowWeight, options.reduction);
  });
}

/**
 * −logProbabilities[target], reduced, for log-probabilities from `logSoftmax`; shapes, targets and errors as for `crossEntropy`.
 *
 * @example
 * nllLoss(logSoftmax(tensor([[2, 1, 0]]), 1), tensor([0], { dtype: "int32" })); // 0.4076
 */
export function nllLoss(
  logProbabilities: Tensor,
  target: Tensor,
  options: ClassificationOptions = {},
): Tensor {
  checkOptions("nllLoss", options, classificationOptions);
  requireFloat(logProbabilities, "nllLoss");
  return inComposite("nllLoss", () => {
    const { labels, attributes, rowWeight } = rows("nllLoss", logProbabilities, target, options);
    const picked = neg(pick(logProbabilities, labels, attributes));
    const loss = weighted(unlessIgnored(picked, labels, attributes), options, rowWeight);
    return reducedBy(loss, target, rowWeight, options.reduction);
  });
}

/** The target as labels [N, 1, d1, …], how they pick, and each row's weight in that shape: 0 where it is ignored. */
function rows(
  op: string,
  x: Tensor,
  target: Tensor,
  { weight, ignoreIndex = -100 }: ClassificationOptions,
): { labels: Tensor; attributes: LabelAttributes; rowWeight: Tensor } {
  if (x.rank < 2 || !sameShape(x.shape.toSpliced(1, 1), requireTensor(op, target, "the target").shape)) {
    throw new ShapeError(
      `a target of shape ${formatShape(target.shape)} does not fit ${formatShape(x.shape)}`,
      {
        op,
        hint: "inputs are [N, C, …] and targets [N, …]",
      },
    );
  }
  if (weight && !sameShape(weight.shape, [x.shape[1]])) {
    throw new ShapeError(
      `a weight of shape ${formatShape(weight.shape)} does not fit ${formatShape(x.shape)}`,
      {
        op,
        hint: "one weight per class",
      },
    );
  }
  const labels = unsqueeze(asIndex(target, op), 1);
  const report = { op, item: "label", unit: "classes" };
  const attributes = { dim: 1, ignored: ignoreIndex, report };
  if (weight === undefined)
    return { labels, attributes, rowWeight: cast(ne(labels, ignoreIndex), "float32") };
  const ofClass = reshape(pickRows(unsqueeze(weight, 1), labels, report, ignoreIndex), labels.shape);
  return { labels, attributes, rowWeight: unlessIgnored(ofClass, labels, attributes) };
}

function alignClasses(weight: Tensor, x: Tensor): Tensor {
  return reshape(
    weight,
    x.shape.map((extent, i) => (i === 1 ? extent : 1)),
  );
}

/** A weight of 0 removes a row even where its loss is infinite or not a number. */
function weighted(loss: Tensor, { weight }: ClassificationOptions, rowWeight: Tensor): Tensor {
  return weight ? where(eq(rowWeight, 0), 0, mul(loss, rowWeight)) : loss;
}

/** Reduces losses of shape [N, 1, d1, …]; "mean" divides by the total weight. */
function reducedBy(loss: Tensor, target: Tensor, rowWeight: Tensor, reduction: Reduction = "mean"): Tensor {
  if (reduction === "none") return reshape(loss, target.shape);
  const total = sum(loss);
  // The factor is that of the gradient, too.
  return reduction === "sum" ? total : mul(total, div(1, sum(rowWeight)));
}
