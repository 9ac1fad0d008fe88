/** A module as text: the tree of its layers, as PyTorch's repr has it. */
import { formatFields, withCommas } from "../core/inspect.js";
import type { Tensor } from "../graph/tensor.js";

/** A module, as far as its text needs it. */
interface Described {
  readonly training: boolean;
  children(): Iterable<readonly [string, Described]>;
  extraRepr(): object;
  parameters(): readonly Tensor[];
  parameterCount(): number;
}

/**
 * `Linear(inFeatures=784, outFeatures=10, bias=true)`; of a module with sub-modules a line for each, equal neighbours in a list
 * as one: `(0-3): 4 × Block(…`.
 */
export function describeModule(module: Described): string {
  const name = module.constructor.name;
  const fields = formatFields(module.extraRepr());
  const lines: { first: string; last: string; count: number; text: string }[] = [];
  for (const [child, inner] of module.children()) {
    const text = describeModule(inner).replaceAll("\n", "\n  ");
    const before = lines.at(-1);
    if (before?.text === text && /^\d+$/.test(child)) {
      before.last = child;
      before.count++;
    } else lines.push({ first: child, last: child, count: 1, text });
  }
  if (lines.length === 0) return `${name}(${fields})`;
  const rows = lines.map(({ first, last, count, text }) =>
    count === 1 ? `  (${first}): ${text}` : `  (${first}-${last}): ${count} × ${text}`,
  );
  return `${name}(${[fields, ...rows].join("\n").trimEnd()}\n)`;
}

/** The tree, and below it how many parameters there are, where, and in which mode. */
export function inspectModule(module: Described): string {
  const parameters = module.parameters();
  const places = [...new Set(parameters.map(({ device }) => device.name))].join(", ");
  const mode = module.training ? "training" : "evaluating";
  const count = `${withCommas(module.parameterCount())} parameters${places && ` on ${places}`}, ${mode}`;
  return `${describeModule(module)}\n${count}`;
}
