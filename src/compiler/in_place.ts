/** Finds partial writes that can be done in place: writes into a leaf whose result is assigned to the same leaf. */
import type { Graph } from "./graph.js";

/** Node → the leaf in whose memory it is computed. */
export type InPlace = ReadonlyMap<number, number>;

/** The in-place writes of all assignments, including chains of consecutive writes. */
export function findInPlace({ nodes, assignments }: Graph): InPlace {
  const result = new Map<number, number>();
  for (const { leaf, value } of assignments) {
    const writes: number[] = [];
    let id = value;
    for (;;) {
      const { op, inputs } = nodes[id];
      if (op?.kind !== "kernel" || !op.writesInput) break;
      writes.push(id);
      [id] = inputs;
    }
    // A kernel must not read its source from the leaf that it writes.
    const isApart = (input: number) => {
      const base = baseOf(input);
      return nodes[base].leaf !== leaf && !writes.includes(base);
    };
    const mayWrite =
      nodes[id].leaf === leaf && writes.every((write) => nodes[write].inputs.slice(1).every(isApart));
    if (mayWrite) for (const write of writes) result.set(write, leaf);
  }
  return result;

  /** The node below its views. */
  function baseOf(id: number): number {
    const { op, inputs } = nodes[id];
    return op?.kind === "view" ? baseOf(inputs[0]) : id;
  }
}

/** The graph without the assignments that are done in place. */
export function withoutInPlace(graph: Graph, inPlace: InPlace): Graph {
  const assignments = graph.assignments.filter(({ leaf, value }) => inPlace.get(value) !== leaf);
  return { ...graph, assignments };
}
