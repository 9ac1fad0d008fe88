/** Scaled dot-product attention: one kernel where no gradient is asked of it, products and a softmax where one is. */
import { aBoolean, aNumber, anObject, checkOptions, type Kinds } from "../core/check.js";
import { ShapeError } from "../core/errors.js";
import { broadcastShapes, formatShape, type Shape } from "../core/shape.js";
import type { KernelOp } from "../graph/op.js";
import { aTensor } from "../graph/require.js";
import { createNode, isGradEnabled, type Tensor } from "../graph/tensor.js";
import { expand } from "./broadcast.js";
import { type CompositeRules, compose } from "./composite.js";
import { add, div, eq, exp, ge, mul, sub, where } from "./elementwise.js";
import { innerSizes, matmul } from "./linalg.js";
import { asFloat, requireFloat } from "./promotion.js";
import { dropout, type Generator } from "./random.js";
import { max, softmax, sum } from "./reduce.js";
import { transpose } from "./reshape.js";
import { iota } from "./source.js";

export interface AttentionOptions {
  /** Position i sees the positions 0..i only. Default false. */
  readonly causal?: boolean;
  /** bool: true where attention is allowed; float32: added to the scores. Broadcasts to [..., L, S]. */
  readonly mask?: Tensor;
  /** Factor of the scores; default 1/√E. */
  readonly scale?: number;
  /** Probability of dropping an attention weight. Default 0. */
  readonly dropout?: number;
  readonly generator?: Generator;
}

const attentionOptions: Kinds<AttentionOptions> = {
  causal: aBoolean,
  mask: aTensor,
  scale: aNumber,
  dropout: aNumber,
  generator: anObject,
};

/**
 * softmax(q·kᵀ·scale + mask)·v: q [..., L, E], k [..., S, E], v [..., S, D] → [..., L, D] (Vaswani et al. 2017); float32,
 * batches broadcast. A row whose positions are all masked is 0, as in PyTorch since version 2.5. Under `noGrad`, or of
 * inputs that require no gradient, it is one kernel, which takes no memory of size [..., L, S]; on webgl, wide heads do, a part of
 * the batch at a time.
 * @throws ShapeError if the sizes do not fit.
 */
export function scaledDotProductAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: AttentionOptions = {},
): Tensor {
  const op = "scaledDotProductAttention";
  const {
    causal = false,
    mask,
    scale,
    dropout: p = 0,
    generator,
  } = checkOptions(op, options, attentionOptions);
  for (const x of [q, k, v]) requireFloat(x, op);
  if (q.rank < 2 || k.rank < 2 || v.rank < 2) throw innerSizes(op, q, k);
  const width = q.shape[q.rank - 1];
  if (width !== k.shape[k.rank - 1]) throw innerSizes(op, q, k);
  const keys = k.shape[k.rank - 2];
  if (keys !== v.shape[v.rank - 2]) {
    throw new ShapeError(`keys ${formatShape(k.shape)} and values ${formatShape(v.shape)} differ in length`, {
      op,
    });
  }
  const factor = scale ?? 1 / Math.sqrt(width);
  const recorded = isGradEnabled() && [q, k, v, ...(mask ? [mask] : [])].some((x) => x.requiresGrad);
  if (!recorded && p === 0 && width > 0 && keys > 0) return fused(q, k, v, mask, { scale: factor, causal });
  // Scaling the queries touches L·E elements, scaling the scores L·S.
  const scores = matmul(mul(q, factor), transpose(k, -1, -2));
  const allowed = mask?.dtype === "bool" ? mask : undefined;
  const biased = mask && !allowed ? add(scores, mask) : scores;
  const shape = allowed ? broadcastShapes(scores.shape, allowed.shape, op) : biased.shape;
  const inputs = allowed ? [expand(biased, shape), allowed] : [biased];
  const weights = compose(maskedSoftmax, inputs, { causal, masked: mask !== undefined });
  return matmul(dropout(weights, p, { generator }), v);
}

interface FusedAttributes {
  readonly scale: number;
  readonly causal: boolean;
}

/** Inputs of equal batches: q, k, v, and a mask [..., L, S] or none. */
const attentionOp: KernelOp<FusedAttributes & { readonly hasMask: boolean }> = {
  kind: "kernel",
  name: "attention",
  lower: (context) => {
    const { hasMask, scale, causal } = context.attributes;
    const [q, k, v] = [context.input(0), context.input(1), context.input(2)];
    const mask = hasMask ? { mask: context.input(3) } : {};
    const output = context.output(headsTogether(q.view.shape.length));
    context.emit({ kernel: "attention", q, k, v, ...mask, output, scale, causal });
  },
};

/** [N, heads, L, D] in memory as [N, L, heads, D], as the projection behind it reads them: joining the heads copies nothing. */
function headsTogether(rank: number): number[] | undefined {
  if (rank < 4) return undefined;
  const dims = Array.from({ length: rank }, (_, d) => d);
  return [...dims.slice(0, -3), rank - 2, rank - 3, rank - 1];
}

function fused(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | undefined, options: FusedAttributes): Tensor {
  const op = "scaledDotProductAttention";
  const [width, keys, valueWidth] = [q.shape[q.rank - 1], k.shape[k.rank - 2], v.shape[v.rank - 1]];
  const lead = (x: Tensor): Shape => x.shape.slice(0, -2);
  let scores: Shape = [...broadcastShapes(lead(q), lead(k), op), q.shape[q.rank - 2], keys];
  if (mask) scores = broadcastShapes(scores, mask.shape, op);
  if (scores[scores.length - 1] !== keys) {
    throw new ShapeError(`a mask of shape ${formatShape(mask!.shape)} does not fit ${keys} keys`, { op });
  }
  const batch = broadcastShapes(scores.slice(0, -2), lead(v), op);
  const rows = scores[scores.length - 2];
  const inputs = [
    expand(q, [...batch, rows, width]),
    expand(k, [...batch, keys, width]),
    expand(v, [...batch, keys, valueWidth]),
  ];
  if (mask) {
    const usable = mask.dtype === "bool" ? mask : asFloat(mask, op);
    inputs.push(expand(usable, [...batch, rows, keys]));
  }
  const attributes = { ...options, hasMask: mask !== undefined };
  return createNode(attentionOp, inputs, attributes, [...batch, rows, valueWidth], "float32");
}

/**
 * softmax over the last dimension of the positions that `mask` (input 1, bool, broadcasts) and causality allow.
 * The weights of the others are 0, and so their gradients are without masking again.
 */
const maskedSoftmax: CompositeRules<{ readonly causal: boolean; readonly masked: boolean }> = {
  forward: ([scores, mask], { causal, masked }) => {
    const { shape, device, rank } = scores;
    let visible = scores;
    if (mask) visible = where(mask, visible, Number.NEGATIVE_INFINITY);
    if (causal) {
      const past = ge(iota(rank - 2, shape, device), iota(rank - 1, shape, device));
      visible = where(past, visible, Number.NEGATIVE_INFINITY);
    }
    if (!masked) return softmax(visible, -1);
    // A row of -Infinity gets weights of 0.
    const largest = max(visible, -1, { keepdim: true });
    const powers = exp(sub(visible, where(eq(largest, Number.NEGATIVE_INFINITY), 0, largest)));
    const total = sum(powers, -1, { keepdim: true });
    return div(powers, where(eq(total, 0), 1, total));
  },
  gradient: ({ output: y, gradient }) => [
    mul(y, sub(gradient, sum(mul(gradient, y), -1, { keepdim: true }))),
    undefined,
  ],
};
