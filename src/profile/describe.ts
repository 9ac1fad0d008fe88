/** A kernel call in a few words: what it does and on what shapes. */

import { formatShape } from "../core/shape.js";
import type { KernelCall, Operand } from "../kernels/kernel.js";

/** Instructions that say what an expression is for; loads and constants do not. */
const silent = new Set(["load", "constant", "scalar", "iota"]);
/** More are cut off. */
const shownInstructions = 6;

/** `matmul [64, 784] × [784, 256]`, `map [64, 256] mul where`, … */
export function describeCall(call: KernelCall): string {
  switch (call.kernel) {
    case "map":
      return `map ${formatShape(call.shape)}${instructionsOf(call)}`;
    case "reduce": {
      const axes = call.axes.join(", ");
      return `reduce ${call.op} ${formatShape(call.shape)} over ${axes}${instructionsOf(call)}`;
    }
    case "matmul":
      return `matmul ${shapeOf(call.a)} × ${shapeOf(call.b)}`;
    case "attention":
      return `attention ${shapeOf(call.q)} × ${shapeOf(call.k)}${call.causal ? ", causal" : ""}`;
    case "conv":
    case "convGradInput":
    case "convGradWeight": {
      const { stride } = call.geometry;
      const steps = stride.some((step) => step !== 1) ? `, stride ${stride.join(" × ")}` : "";
      return `${call.kernel} ${shapeOf(call.input)} ∗ ${shapeOf(call.weight)}${steps}`;
    }
    case "qmatmul":
      return `qmatmul ${shapeOf(call.input)} × ${formatShape([call.input.view.shape[1], call.output.view.shape[1]])}, ${call.format.bits} bits`;
    case "qconv":
      return `qconv ${shapeOf(call.input)} to ${call.output.view.shape[1]}, ${call.kernelSize.join(" × ")}, ${call.format.bits} bits`;
    case "pool":
      return `pool ${call.op} ${shapeOf(call.input)}, ${call.geometry.kernel.join(" × ")}`;
    case "poolGrad":
      return `poolGrad ${call.op} ${shapeOf(call.gradInput)}, ${call.geometry.kernel.join(" × ")}`;
    case "gather":
    case "scatterAdd":
      return `${call.kernel} ${formatShape(call.shape)} of ${call.axisSize}`;
  }
}

function shapeOf({ view }: Operand): string {
  return formatShape(view.shape);
}

function instructionsOf({ expression }: Extract<KernelCall, { kernel: "map" | "reduce" }>): string {
  const ops = expression.instructions.map(({ op }) => op).filter((op) => !silent.has(op));
  if (ops.length === 0) return "";
  const shown = ops.slice(0, shownInstructions).join(" ");
  return ops.length > shownInstructions ? ` ${shown} … (${ops.length})` : ` ${shown}`;
}
