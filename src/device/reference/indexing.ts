/** gather and scatterAdd. */
import type { IndexError } from "../../core/errors.js";
import { indexError, reportOf } from "../../kernels/failure.js";
import type { GatherCall, ScatterAddCall } from "../../kernels/kernel.js";
import type { Memory } from "./expression.js";
import { positions } from "./strided.js";

/** @returns the error for the first index outside the axis, if there is one; elements with such an index are skipped. */
export function gatherScatter(call: GatherCall | ScatterAddCall, memory: Memory): IndexError | undefined {
  const { kernel, source, index, output, axisStride, axisSize } = call;
  const [from, at, to] = [memory(source.slot), memory(index.slot), memory(output.slot)];
  const [sources, indices, outputs] = [source, index, output].map(({ view }) => positions(view));
  let error: IndexError | undefined;
  indices.forEach((position, i) => {
    const chosen = at[position];
    if (chosen < 0 || chosen >= axisSize) {
      if (chosen === call.ignored) return;
      error ??= indexError(reportOf(call), chosen, axisSize, "reference");
    } else if (kernel === "gather") {
      to[outputs[i]] = from[sources[i] + chosen * axisStride];
    } else {
      to[outputs[i] + chosen * axisStride] += from[sources[i]];
    }
  });
  return error;
}
