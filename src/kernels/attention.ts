/** `attention`: softmax(QKᵀ)V without storing the score matrix. */
import { sizeOf } from "../core/shape.js";
import { distinctBytes, type ElementStorage } from "./bytes.js";
import { fill } from "./fill.js";
import { isEmpty, type Operand } from "./operand.js";
import type { KernelCost, KernelRecord } from "./record.js";

/**
 * softmax(scale · q · kᵀ + mask) · v over the positions that are visible: q [...batch, L, E], k [...batch, S, E],
 * v [...batch, S, D], mask [...batch, L, S] → output [...batch, L, D]; any strides. E and S are at least 1.
 *
 * - `mask`: bool masks the positions where it is false; float32 is added to the scores.
 * - `keyLengths`, `queryPositions`: int32 [...batch]. Only the first `keyLengths` keys are valid, clamped to 0..S (default S). Query
 *   row i has the position `queryPositions` + i (default i), which may exceed S. `causal` masks keys with an index above the row's
 *   position; `window` (at least 1) masks keys with an index of at most position − window.
 * - If all scores of a row are masked or -Infinity, the row is 0. If one is NaN or +Infinity, the row is NaN.
 * - Keys and values from index `keyLengths` on are never used. Other masked positions get weight 0: if a value there is not finite,
 *   the result is unspecified (0 · ∞ = NaN).
 * - On devices that read the lengths (wasm, webgl for some head widths), work is proportional to the valid keys, not to S.
 */
export interface AttentionCall {
  readonly kernel: "attention";
  readonly q: Operand;
  readonly k: Operand;
  readonly v: Operand;
  readonly mask?: Operand;
  readonly keyLengths?: Operand;
  readonly queryPositions?: Operand;
  readonly output: Operand;
  readonly scale: number;
  readonly causal: boolean;
  readonly window?: number;
}

export const attention: KernelRecord<AttentionCall> = {
  reads: ["q", "k", "v", "mask", "keyLengths", "queryPositions"],
  writes: ["output"],
  emptyReduction: ({ k, output }) => (isEmpty(k) ? fill(output, 0) : undefined),
};

export const attentionCost: KernelCost<AttentionCall> = {
  flops,
  bytes,
};

/**
 * Counts unmasked scores only, with `keyLengths` and `queryPositions` at their maximum (profile/attention_lengths.ts corrects that):
 * scaling the queries, two products per score, mask, softmax, and the division of each row.
 */
function flops({ q, v, mask, queryPositions, output, ...more }: AttentionCall): number {
  const causal = more.causal && queryPositions === undefined;
  const [length, width] = q.view.shape.slice(-2);
  const [keys, valueWidth] = v.view.shape.slice(-2);
  const rows = sizeOf(output.view.shape.slice(0, -1));
  const scores = causal ? (rows / Math.max(length, 1)) * visiblePairs(length, keys) : rows * keys;
  const added = mask?.dtype === "float32" ? 1 : 0;
  const softmax = 4; /* maximum, difference, exponential, sum */
  return rows * (width + valueWidth) + scores * (2 * (width + valueWidth) + added + softmax);
}

/** Number of (row, key) pairs with key index ≤ row index. */
function visiblePairs(rows: number, keys: number): number {
  const growing = Math.min(rows, keys);
  return (growing * (growing + 1)) / 2 + (rows - growing) * keys;
}

/** Keys, values and mask elements that causality masks for every row are not counted: the kernels do not read them. */
function bytes(call: AttentionCall, stored: ElementStorage): number {
  const { q, k, v, mask, output } = call;
  const causal = call.causal && call.queryPositions === undefined;
  const distinct = (operand: Operand | undefined) => (operand ? distinctBytes(operand, stored) : 0);
  const [length, keys] = [q.view.shape.at(-2)!, k.view.shape.at(-2)!];
  const seen = causal ? Math.min(length, keys) / keys : 1;
  const seenOf = (operand: Operand, along: number) =>
    distinct(operand) * (operand.view.strides.at(along) === 0 ? 1 : seen);
  const whole =
    distinct(q) +
    seenOf(k, -2) +
    seenOf(v, -2) +
    distinct(call.keyLengths) +
    distinct(call.queryPositions) +
    distinct(output);
  if (mask === undefined) return whole;
  const [rowStride, keyStride] = mask.view.strides.slice(-2);
  if (!causal || rowStride === 0 || keyStride === 0) return whole + seenOf(mask, -1);
  return whole + (distinct(mask) / (length * keys)) * visiblePairs(length, keys);
}
