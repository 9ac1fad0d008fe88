/**
 * Provenance of kernel calls: the module and the ops, composite ones by their own name, that a step of the schedule computes.
 * Profiles and summaries pass it to `compile`; other pages do not load it.
 */
import { namesIn } from "../graph/scope.js";
import type { Provenance } from "../kernels/program.js";
import type { Fusion } from "./fuse.js";
import type { Graph } from "./graph.js";
import type { Step } from "./schedule.js";

/** The provenance of a step's kernel calls; undefined if no scope was set when its nodes were made. */
export type ProvenanceOf = (graph: Graph, fusion: Fusion, step: Step) => Provenance | undefined;

export const provenanceOf: ProvenanceOf = (graph, fusion, step) => {
  const { nodes, outputs, assignments } = graph;
  const product = step.kind === "node" ? fusion.epilogues.get(step.node) : undefined;
  const roots =
    step.kind === "update"
      ? step.assignments.map((i) => assignments[i].value)
      : [step.kind === "node" ? step.node : outputs[step.output]];
  const { scope } = nodes[product ?? roots[0]];
  if (scope === undefined) return undefined;

  const ops = new Map<string, boolean>();
  const seen = new Set<number>();
  const visit = (id: number, isComputedHere: boolean): void => {
    const { op, leaf, inputs, scope } = nodes[id];
    if (seen.has(id) || leaf >= 0 || (fusion.materialized[id] && !isComputedHere)) return;
    seen.add(id);
    const isKernel = op!.kind === "kernel";
    // The operands of a kernel are in memory.
    if (!isKernel) for (const input of inputs) visit(input, input === product);
    if (op!.kind === "view" || (op!.kind === "source" && op!.source !== "uniform")) return;
    const composite = scope === undefined ? undefined : namesIn(scope).composite;
    const name = composite ?? op!.name;
    ops.set(name, composite !== undefined || (ops.get(name) ?? false));
  };
  for (const root of roots) visit(root, step.kind === "node");
  return { module: namesIn(scope).module, op: listed([...ops]) };
};

/** Maximum number of ops listed; of more, only the composites are. */
const mostOps = 4;

/** The ops in the order of computation, of many only the composites; "copy" for a call that only moves elements. */
function listed(ops: readonly (readonly [name: string, isComposite: boolean])[]): string {
  const names = ops.map(([name]) => name);
  if (names.length === 0) return "copy";
  if (names.length <= mostOps) return names.join(" + ");
  const composites = ops.filter(([, isComposite]) => isComposite).map(([name]) => name);
  const shown = composites.length > 0 ? composites : names.slice(0, mostOps);
  return `${shown.join(" + ")} + …`;
}
