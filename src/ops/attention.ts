/** Scaled dot-product attention: one kernel without gradients, two products and a softmax with gradients. */
import { aBoolean, aCount, aNumber, anObject, checkOptions, type Kinds } from "../core/check.js";
import { ArgumentError, ShapeError } from "../core/errors.js";
import { broadcastShapes, formatShape, type Shape } from "../core/shape.js";
import type { KernelOp } from "../graph/op.js";
import { aTensor } from "../graph/require.js";
import { inComposite } from "../graph/scope.js";
import { createNode, isGradEnabled, type Tensor } from "../graph/tensor.js";
import { recordedAttention, type Visibility } from "./attention_recorded.js";
import { expand } from "./broadcast.js";
import { innerSizes } from "./linalg.js";
import { asFloat, asIndex, requireFloat } from "./promotion.js";
import type { Generator } from "./random.js";
import { reshape, unsqueeze } from "./reshape.js";

/** Options of `scaledDotProductAttention`; L queries, S keys. */
export interface AttentionOptions {
  /** Masks the keys after the query's own position. Default false. */
  readonly causal?: boolean;
  /** bool: true where attention is allowed; float32: added to the scores. Broadcasts to [..., L, S]. */
  readonly mask?: Tensor;
  /**
   * int32 [N], one for each entry of the first dimension, or []: the number of valid keys; later keys are ignored. Clamped to
   * 0..S; default S. Time grows with the length, not with S.
   */
  readonly keyLengths?: Tensor;
  /** int32 [N] or []: the position of the first query; the following queries have the following positions. Default 0. */
  readonly queryPositions?: Tensor;
  /** Attends to the query's own position and the window − 1 before it (Beltagy et al. 2020). Needs `causal`. Default: no limit. */
  readonly window?: number;
  /**
   * Grouped-query attention (Ainslie et al. 2023): k and v have fewer heads than q, and each serves a group of consecutive query
   * heads, without copies. Default false.
   */
  readonly enableGqa?: boolean;
  /** Factor of the scores; default 1/√E. */
  readonly scale?: number;
  /** Probability of dropping an attention weight. Default 0. */
  readonly dropout?: number;
  /** Random numbers of the dropout. Default `defaultGenerator`. */
  readonly generator?: Generator;
}

const attentionOptions: Kinds<AttentionOptions> = {
  causal: aBoolean,
  mask: aTensor,
  keyLengths: aTensor,
  queryPositions: aTensor,
  window: aCount,
  enableGqa: aBoolean,
  scale: aNumber,
  dropout: aNumber,
  generator: anObject,
};
const op = "scaledDotProductAttention";

/**
 * softmax(q·kᵀ·scale + mask)·v: q [..., L, E], k [..., S, E], v [..., S, D] → [..., L, D] (Vaswani et al. 2017); float32,
 * batches broadcast. A row with every position masked is 0, as in PyTorch since version 2.5.
 *
 * Without gradients (under `noGrad`, or if no input requires one) it is one kernel that stores no [..., L, S] matrix; on webgl heads
 * wider than 128 store it for a part of the batch at a time. With gradients it is two products and a softmax.
 *
 * Lengths and positions are values, not shapes: a sequence that grows by one token compiles nothing. Gradients flow through all
 * options; those of keys and values beyond the length are 0.
 *
 * @example
 * const q = tensor([[1, 0]]);
 * const k = tensor([[1, 0], [0, 1]]);
 * const v = tensor([[1], [3]]);
 * scaledDotProductAttention(q, k, v); // [[1.66]]
 * scaledDotProductAttention(q, k, v, { causal: true }); // [[1]]
 *
 * @throws ShapeError if the sizes do not fit, ArgumentError for a window without causality, DTypeError for dtypes other than these.
 */
export function scaledDotProductAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: AttentionOptions = {},
): Tensor {
  const given = checkOptions(op, options, attentionOptions);
  const { causal = false, keyLengths, queryPositions, window, dropout: p = 0, generator } = given;
  for (const x of [q, k, v]) requireFloat(x, op);
  if (q.rank < 2 || k.rank < 2 || v.rank < 2) throw innerSizes(op, q, k);
  const width = q.shape[q.rank - 1];
  if (width !== k.shape[k.rank - 1]) throw innerSizes(op, q, k);
  if (k.shape[k.rank - 2] !== v.shape[v.rank - 2]) {
    throw new ShapeError(`keys ${formatShape(k.shape)} and values ${formatShape(v.shape)} differ in length`, {
      op,
    });
  }
  if (window !== undefined && (window < 1 || !causal)) {
    throw new ArgumentError(`a window of ${window} needs to be at least 1, and causal`, { op });
  }
  const scale = given.scale ?? 1 / Math.sqrt(width);
  const { heads, ...grouped } = given.enableGqa
    ? inGroups(q, k, v, given.mask)
    : { q, k, v, mask: given.mask };
  const { mask } = grouped;
  const tensors = [grouped.q, grouped.k, grouped.v, ...(mask ? [mask] : [])];
  const batch = tensors
    .map(({ shape }) => shape.slice(0, -2))
    .reduce((shape, other) => broadcastShapes(shape, other, op));
  const visible: Visibility = {
    causal,
    window,
    keyLengths: keyLengths && perMatrix(keyLengths, "keyLengths", batch),
    queryPositions: queryPositions && perMatrix(queryPositions, "queryPositions", batch),
  };
  const recorded = isGradEnabled() && tensors.some((x) => x.requiresGrad);
  const isFused = !recorded && p === 0 && width > 0 && k.shape[k.rank - 2] > 0;
  const output = inComposite(op, () =>
    isFused
      ? fused(grouped, batch, visible, { scale, isGrouped: heads !== undefined })
      : recordedAttention(grouped, visible, { scale, dropout: p, generator }),
  );
  return heads === undefined
    ? output
    : reshape(output, [...output.shape.slice(0, -4), heads, ...output.shape.slice(-2)]);
}

/** The inputs with the heads of q in groups, each of which shares one head of k and v. */
interface Operands {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  readonly mask?: Tensor | undefined;
}

/** q [N, G, H/G, L, E], k and v [N, G, 1, S, E], a mask [..., G, H/G, L, S]; and H. */
function inGroups(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | undefined): Operands & { heads?: number } {
  const [heads, groups] = [q.shape[q.rank - 3], k.shape[k.rank - 3]];
  if (!(heads % groups === 0) || groups !== v.shape[v.rank - 3]) {
    throw new ShapeError(
      `${formatShape(q.shape)}, ${formatShape(k.shape)} and ${formatShape(v.shape)} are no groups of heads`,
      { op, hint: "dimension −3 of k and v is the same and divides that of q" },
    );
  }
  const split = (x: Tensor) =>
    reshape(x, [...x.shape.slice(0, -3), groups, heads / groups, ...x.shape.slice(-2)]);
  const own = mask && mask.rank > 2 && (mask.shape[mask.rank - 3] === 1 ? unsqueeze(mask, -3) : split(mask));
  return { q: split(q), k: unsqueeze(k, -3), v: unsqueeze(v, -3), mask: own || mask, heads };
}

/** int32 [...batch] of numbers that belong to the first dimension. */
function perMatrix(given: Tensor, name: string, batch: Shape): Tensor {
  const x = asIndex(given, op);
  if (x.rank > 1 || (x.rank === 1 && x.size !== batch[0])) {
    throw new ShapeError(`${name} ${formatShape(x.shape)} do not fit the batch ${formatShape(batch)}`, {
      op,
    });
  }
  return expand(x.rank === 0 ? x : reshape(x, [x.size, ...batch.slice(1).map(() => 1)]), batch);
}

interface FusedAttributes {
  readonly scale: number;
  readonly causal: boolean;
  readonly window: number | undefined;
  readonly isGrouped: boolean;
  /** Whether there are a mask [..., L, S], key lengths and query positions [...], in this order. */
  readonly has: readonly [mask: boolean, keyLengths: boolean, queryPositions: boolean];
}

/** Inputs: q, k, v and the optional ones, with equal batches. */
const attentionOp: KernelOp<FusedAttributes> = {
  kind: "kernel",
  name: "attention",
  lower: (context) => {
    const { has, scale, causal, window, isGrouped } = context.attributes;
    const [q, k, v] = [context.input(0), context.input(1), context.input(2)];
    let next = 3;
    const [mask, keyLengths, queryPositions] = has.map((is) => (is ? context.input(next++) : undefined));
    const output = context.output(headsTogether(q.view.shape.length, isGrouped ? 2 : 1));
    context.emit({
      ...{ kernel: "attention", q, k, v, output, scale, causal },
      ...(mask && { mask }),
      ...(keyLengths && { keyLengths }),
      ...(queryPositions && { queryPositions }),
      ...(window && { window }),
    });
  },
};

/**
 * [N, heads, L, D] in memory as [N, L, heads, D], as the projection behind it reads them: joining the heads copies nothing.
 * `dims` are those of the heads.
 */
function headsTogether(rank: number, dims: number): number[] | undefined {
  if (rank < 3 + dims) return undefined;
  const order = Array.from({ length: rank - 2 }, (_, d) => d);
  order.splice(-dims, 0, rank - 2);
  return [...order, rank - 1];
}

function fused(
  { q, k, v, mask }: Operands,
  batch: Shape,
  { keyLengths, queryPositions, causal, window }: Visibility,
  options: Pick<FusedAttributes, "scale" | "isGrouped">,
): Tensor {
  const [width, keys, valueWidth] = [q.shape[q.rank - 1], k.shape[k.rank - 2], v.shape[v.rank - 1]];
  let scores: Shape = [q.shape[q.rank - 2], keys];
  if (mask) scores = broadcastShapes(scores, mask.shape.slice(-2), op);
  const [rows] = scores;
  if (scores[1] !== keys) {
    throw new ShapeError(`a mask of shape ${formatShape(mask!.shape)} does not fit ${keys} keys`, { op });
  }
  const inputs = [
    expand(q, [...batch, rows, width]),
    expand(k, [...batch, keys, width]),
    expand(v, [...batch, keys, valueWidth]),
  ];
  if (mask) {
    const usable = mask.dtype === "bool" ? mask : asFloat(mask, op);
    inputs.push(expand(usable, [...batch, rows, keys]));
  }
  const has = [mask, keyLengths, queryPositions].map((x) => x !== undefined);
  for (const x of [keyLengths, queryPositions]) if (x) inputs.push(x);
  const attributes = { ...options, causal, window, has: has as [boolean, boolean, boolean] };
  return createNode(attentionOp, inputs, attributes, [...batch, rows, valueWidth], "float32");
}
