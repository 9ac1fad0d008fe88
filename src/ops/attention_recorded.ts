/** Attention as products and a softmax, whose gradients are known: for training, and where weights are dropped. */
import { broadcastShapes } from "../core/shape.js";
import type { Tensor } from "../graph/tensor.js";
import { expand } from "./broadcast.js";
import { eq, ge, lt, where } from "./comparison.js";
import { type CompositeRules, compose } from "./composite.js";
import { add, div, exp, mul, sub } from "./elementwise.js";
import { matmul } from "./linalg.js";
import { dropout, type Generator } from "./random.js";
import { max, sum } from "./reduce.js";
import { reshape, transpose } from "./reshape.js";
import { softmax } from "./softmax.js";
import { iota } from "./source.js";

/** The keys that a query sees by lengths, causality and window, without the mask. */
export interface Visibility {
  readonly causal: boolean;
  readonly window: number | undefined;
  /** int32 [...batch] each. */
  readonly keyLengths: Tensor | undefined;
  readonly queryPositions: Tensor | undefined;
}

interface Options {
  readonly scale: number;
  readonly dropout: number;
  readonly generator: Generator | undefined;
}

export function recordedAttention(
  { q, k, v, mask }: { q: Tensor; k: Tensor; v: Tensor; mask?: Tensor | undefined },
  visible: Visibility,
  { scale, dropout: p, generator }: Options,
): Tensor {
  const { causal, window } = visible;
  const [keyLengths, queryPositions] = [visible.keyLengths, visible.queryPositions].map(
    (x) => x && reshape(x, [...x.shape, 1, 1]),
  );
  // Values beyond the length may be NaN, and 0 · NaN is NaN.
  const existing = (x: Tensor) =>
    keyLengths ? where(lt(iota(x.rank - 2, x.shape, x.device), keyLengths), x, 0) : x;
  // Scaling the queries touches L·E elements, scaling the scores L·S.
  const scores = matmul(mul(q, scale), transpose(existing(k), -1, -2));
  const allowed = mask?.dtype === "bool" ? mask : undefined;
  const biased = mask && !allowed ? add(scores, mask) : scores;
  const others = [allowed, keyLengths, queryPositions];
  const shape = others.reduce(
    (shape, x) => (x ? broadcastShapes(shape, x.shape, "scaledDotProductAttention") : shape),
    biased.shape,
  );
  const inputs = [expand(biased, shape), ...others.filter((x) => x !== undefined)];
  const has = others.map((x) => x !== undefined);
  const isSafe = mask === undefined && !has.includes(true) && window === undefined;
  const weights = compose(maskedSoftmax, inputs, { causal, window, has, isSafe });
  return matmul(dropout(weights, p, { generator }), existing(v));
}

interface SoftmaxAttributes {
  readonly causal: boolean;
  readonly window: number | undefined;
  /** Whether there are a bool mask, key lengths and query positions, in this order; all broadcast to the scores. */
  readonly has: readonly boolean[];
  /** Each row sees a key. */
  readonly isSafe: boolean;
}

/**
 * softmax over the last dimension of the positions that are visible. The weights of the others are 0, and so their gradients are
 * without masking again.
 */
const maskedSoftmax: CompositeRules<SoftmaxAttributes> = {
  name: "softmax",
  forward: ([scores, ...more], { causal, window, has, isSafe }) => {
    const { shape, device, rank } = scores;
    let next = 0;
    const [mask, keyLengths, queryPositions] = has.map((is) => (is ? more[next++] : undefined));
    let visible = scores;
    const show = (condition: Tensor) => {
      visible = where(condition, visible, Number.NEGATIVE_INFINITY);
    };
    if (mask) show(mask);
    const key = iota(rank - 1, shape, device);
    if (keyLengths) show(lt(key, keyLengths));
    const row = iota(rank - 2, shape, device);
    const position = queryPositions ? add(row, queryPositions) : row;
    if (causal) show(ge(position, key));
    if (window) show(lt(sub(position, key), window));
    if (isSafe) return softmax(visible, -1);
    // A row of -Infinity gets weights of 0.
    const largest = max(visible, -1, { keepdim: true });
    const powers = exp(sub(visible, where(eq(largest, Number.NEGATIVE_INFINITY), 0, largest)));
    const total = sum(powers, -1, { keepdim: true });
    return div(powers, where(eq(total, 0), 1, total));
  },
  gradient: ({ output: y, gradient }) => [
    mul(y, sub(gradient, sum(mul(gradient, y), -1, { keepdim: true }))),
  ],
};
