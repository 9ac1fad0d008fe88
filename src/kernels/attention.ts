/** `attention`: softmax(QKᵀ)V without storing the matrix of scores. */
import { sizeOf } from "../core/shape.js";
import { distinctBytes, type Stored } from "./bytes.js";
import { fill } from "./fill.js";
import { isEmpty, type Operand } from "./operand.js";
import type { KernelRecord } from "./record.js";

/**
 * softmax(scale · q · kᵀ + mask) · v over the positions that are visible: q [...batch, L, E], k [...batch, S, E],
 * v [...batch, S, D], mask [...batch, L, S] → output [...batch, L, D]; any strides. E and S are at least 1.
 *
 * - `mask`: bool hides where it is false, float32 is added to the scores.
 * - `keyLengths`, `queryPositions`: int32 [...batch]. Of the S keys so many exist, limited to 0..S (default S); row i has the position
 *   `queryPositions` + i (default 0), which may be beyond S. `causal` hides the keys behind a row's position; `window` (at least 1)
 *   those at or before position − window.
 * - A row that sees nothing (of which all scores are -Infinity) is 0; one of which a score is NaN or +Infinity is NaN.
 * - Keys and values behind the length may hold anything. Other hidden positions have the weight 0: if a value there is not finite,
 *   the result is unspecified (0 · ∞ = NaN).
 * - The work grows with the keys that exist, not with S, on devices that can tell.
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
  flops,
  bytes,
  overNothing: ({ k, output }) => (isEmpty(k) ? fill(output, 0) : undefined),
};

/** Of the visible scores alone, with lengths and positions at most (see profile/attention_lengths.ts): the queries are scaled; each score is summed, masked and weighted; each row is divided. */
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

/** The pairs of `rows` rows and `keys` keys in which the key is not after the row. */
function visiblePairs(rows: number, keys: number): number {
  const growing = Math.min(rows, keys);
  return (growing * (growing + 1)) / 2 + (rows - growing) * keys;
}

/** Without the keys, values and parts of the mask that causality hides from all rows. */
function bytes(call: AttentionCall, stored: Stored): number {
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
