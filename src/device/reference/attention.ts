/** attention, row by row. */
import type { AttentionCall, Operand } from "../../kernels/kernel.js";
import type { Memory } from "./expression.js";
import { positions } from "./strided.js";

export function attention(call: AttentionCall, memory: Memory): void {
  const { q, k, v, mask, output, scale, causal, window = Number.POSITIVE_INFINITY } = call;
  const [length, width] = q.view.shape.slice(-2);
  const [keys, valueWidth] = v.view.shape.slice(-2);
  const [dataQ, dataK, dataV, data] = [q, k, v, output].map(({ slot }) => memory(slot));
  const [batchQ, batchK, batchV, batchOut] = [q, k, v, output].map(batchesOf);
  const [strideQ, strideK, strideV, stride] = [q, k, v, output].map(({ view }) => view.strides.slice(-2));
  const visibility = mask && visibilityOf(mask, memory);
  const lengthAt = perMatrix(call.keyLengths, memory, keys);
  const positionAt = perMatrix(call.queryPositions, memory, 0);
  batchOut.forEach((base, batch) => {
    for (let i = 0; i < length; i++) {
      const position = positionAt(batch) + i;
      const all = Math.min(lengthAt(batch), keys);
      const seen = Math.max(0, causal ? Math.min(position + 1, all) : all);
      const isPast = (j: number) => j <= position - window;
      const from = batchQ[batch] + i * strideQ[0];
      const scores = new Float64Array(seen);
      for (let j = 0; j < seen; j++) {
        const by = batchK[batch] + j * strideK[0];
        let sum = 0;
        for (let e = 0; e < width; e++)
          sum += scale * dataQ[from + e * strideQ[1]] * dataK[by + e * strideK[1]];
        if (isPast(j)) scores[j] = Number.NEGATIVE_INFINITY;
        else scores[j] = visibility ? visibility(sum, batch, i, j) : sum;
      }
      // Math.max returns NaN if a score is NaN.
      const largest = scores.reduce((most, score) => Math.max(most, score), Number.NEGATIVE_INFINITY);
      const isHidden = largest === Number.NEGATIVE_INFINITY;
      const weights = scores.map((score) => (isHidden ? 0 : Math.exp(score - largest)));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      for (let d = 0; d < valueWidth; d++) {
        let sum = 0;
        for (let j = 0; j < seen; j++)
          sum += weights[j] * dataV[batchV[batch] + j * strideV[0] + d * strideV[1]];
        data[base + i * stride[0] + d * stride[1]] = isHidden ? 0 : sum / total;
      }
    }
  });
}

function batchesOf({ view: { shape, strides, offset } }: Operand): Int32Array {
  return positions({ shape: shape.slice(0, -2), strides: strides.slice(0, -2), offset });
}

/** One number per matrix of the batch. */
function perMatrix(
  operand: Operand | undefined,
  memory: Memory,
  otherwise: number,
): (batch: number) => number {
  if (operand === undefined) return () => otherwise;
  const data = memory(operand.slot);
  const at = positions(operand.view);
  return (batch) => data[at[batch]];
}

/** Applies a mask to a score. */
function visibilityOf(mask: Operand, memory: Memory) {
  const data = memory(mask.slot);
  const batches = batchesOf(mask);
  const [row, key] = mask.view.strides.slice(-2);
  return (score: number, batch: number, i: number, j: number): number => {
    const value = data[batches[batch] + i * row + j * key];
    if (mask.dtype === "float32") return score + value;
    return value === 0 ? Number.NEGATIVE_INFINITY : score;
  };
}
