/** map and reduce. */
import { sizeOf } from "../../core/shape.js";
import { expandView, rowMajor } from "../../core/view.js";
import type { MapCall } from "../../kernels/expression.js";
import { identityOf, type ReduceCall, type ReduceOp } from "../../kernels/reduce.js";
import { blockSize, evaluate, type Memory } from "./expression.js";
import { stored } from "./halves.js";
import { indexOf, positions } from "./strided.js";

export function map(call: MapCall, memory: Memory, scalars: readonly number[]): void {
  const { shape, inputs, outputs, expression } = call;
  const size = sizeOf(shape);
  for (let start = 0; start < size; start += blockSize) {
    const count = Math.min(blockSize, size - start);
    const values = evaluate(expression, inputs, shape, start, count, memory, scalars);
    outputs.forEach((output, k) => {
      const { slot, view } = output;
      const data = memory(slot);
      const result = stored(output, values[expression.results[k]]);
      positions(view, start, count).forEach((position, i) => {
        data[position] = result[i];
      });
    });
  }
}

export function reduce(call: ReduceCall, memory: Memory, scalars: readonly number[]): void {
  const { op, shape, axes, inputs, expression, output } = call;
  const size = sizeOf(shape);
  const results = output.view.shape;
  const best = new Float64Array(sizeOf(results)).fill(identityOf(op, output.dtype));
  const chosen = new Int32Array(op === "argmax" || op === "argmin" ? best.length : 0).fill(-1);
  const target = expandView(rowMajor(results), shape);
  for (let start = 0; start < size; start += blockSize) {
    const count = Math.min(blockSize, size - start);
    const values = evaluate(expression, inputs, shape, start, count, memory, scalars)[expression.results[0]];
    positions(target, start, count).forEach((to, i) => {
      const value = values[i];
      if (op === "sum") best[to] += value;
      else if (op === "prod")
        best[to] = output.dtype === "int32" ? Math.imul(best[to], value) : best[to] * value;
      else if (op === "max") best[to] = Math.max(best[to], value);
      else if (op === "min") best[to] = Math.min(best[to], value);
      else if (chosen[to] < 0 || beats(op, value, best[to])) {
        best[to] = value;
        chosen[to] = indexOf(start + i, shape)[axes[0]];
      }
    });
  }
  const data = memory(output.slot);
  const result = chosen.length > 0 ? chosen : best;
  positions(output.view).forEach((position, i) => {
    data[position] = output.dtype === "int32" && Number.isFinite(result[i]) ? result[i] | 0 : result[i];
  });
}

/** Whether a later value replaces the best so far; NaN beats every number and the first NaN stays. */
function beats(op: ReduceOp, value: number, best: number): boolean {
  if (Number.isNaN(best)) return false;
  return Number.isNaN(value) || (op === "argmax" ? value > best : value < best);
}
