/** One-line descriptions of kernel calls. Separate from the records, so that only pages that profile load them. */
import { formatShape } from "../core/shape.js";
import type { ConvCall } from "./conv.js";
import type { WithEpilogue } from "./epilogue.js";
import type { Expression, MapCall } from "./expression.js";
import { instructionOf } from "./instructions.js";
import type { Operand } from "./operand.js";
import { entryOf, type KernelCall, type KernelTable } from "./table.js";

const details: KernelTable<[], string> = {
  map: ({ shape }) => formatShape(shape),
  reduce: ({ op, shape, axes }) => `${op} ${formatShape(shape)} over ${axes.join(", ")}`,
  matmul: ({ a, b }) => `${shapeOf(a)} × ${shapeOf(b)}`,
  attention: ({ q, k, causal }) => `${shapeOf(q)} × ${shapeOf(k)}${causal ? ", causal" : ""}`,
  conv: convolution,
  convGradInput: convolution,
  convGradWeight: convolution,
  qmatmul: ({ input, output, format }) =>
    `${shapeOf(input)} × ${formatShape([input.view.shape[1], output.view.shape[1]])}, ${format.bits} bits`,
  qconv: ({ input, output, kernelSize, format }) =>
    `${shapeOf(input)} to ${output.view.shape[1]}, ${kernelSize.join(" × ")}, ${format.bits} bits`,
  pool: ({ op, input, geometry }) => `${op} ${shapeOf(input)}, ${geometry.kernel.join(" × ")}`,
  poolGrad: ({ op, gradInput, geometry }) => `${op} ${shapeOf(gradInput)}, ${geometry.kernel.join(" × ")}`,
  gather: ({ shape, axisSize }) => `${formatShape(shape)} of ${axisSize}`,
  scatterAdd: ({ shape, axisSize }) => `${formatShape(shape)} of ${axisSize}`,
  write: ({ source, positionCount }) => `${shapeOf(source)} at one of ${positionCount}`,
};

/** `matmul [64, 784] × [784, 256] relu`, `map [64, 256] mul where`; without instructions `map [64, 256]`. */
export function describeCall(call: KernelCall, { instructions }: { readonly instructions: boolean }): string {
  const described = `${call.kernel} ${entryOf(details, call)(call)}`;
  if (!instructions) return described;
  const { expression } = (call as WithEpilogue).epilogue ?? (call as Partial<MapCall>);
  return expression === undefined ? described : described + instructionsOf(expression);
}

function shapeOf({ view }: Operand): string {
  return formatShape(view.shape);
}

function convolution({ input, weight, geometry: { stride } }: ConvCall): string {
  const steps = stride.some((step) => step !== 1) ? `, stride ${stride.join(" × ")}` : "";
  return `${shapeOf(input)} ∗ ${shapeOf(weight)}${steps}`;
}

/** Maximum number of instruction names shown. */
const shownInstructions = 6;

/** The names of the instructions, except loads, constants and scalars: ` mul where`. */
function instructionsOf({ instructions }: Expression): string {
  const ops = instructions
    .map(({ op }) => op)
    .filter((op) => op === "uniform" || instructionOf(op).arity > 0);
  if (ops.length === 0) return "";
  const shown = ops.slice(0, shownInstructions).join(" ");
  return ops.length > shownInstructions ? ` ${shown} … (${ops.length})` : ` ${shown}`;
}
