/** jit's check: compares the graph of a second run of the function with the recorded one. */

import type { Graph, GraphNode } from "../compiler/graph.js";
import { JitError } from "../core/errors.js";
import { formatShape } from "../core/shape.js";
import type { Tensor } from "../graph/tensor.js";
import type { Captured } from "./capture.js";
import { sourceOf } from "./guards.js";

/** The compared properties of a captured call. */
export class CheckedCapture {
  readonly #graph: Graph;
  /** The source of each leaf: an argument, the gradient of a tensor, or fixed memory. */
  readonly #leaves: readonly unknown[];
  readonly #outputs: string;
  /** Parts of the result that are not tensors. */
  readonly #fixed: string;
  readonly #hooks: number;

  constructor({ bound, handles, effects, fixed, capture: { hooks, observations } }: Captured) {
    this.#graph = bound.graph;
    this.#leaves = bound.owners.map((owner, leaf) => {
      const known: Tensor = (observations.entryGradients.get(owner)?.owner as Tensor | undefined) ?? owner;
      const data = observations.uploads.get(owner);
      if (data !== undefined) return data.join();
      const source = sourceOf(known, handles);
      return "argument" in source ? source.argument : known === owner ? bound.leaves[leaf] : known;
    });
    this.#outputs = JSON.stringify([bound.graph.outputs, bound.graph.assignments, effects.length]);
    this.#fixed = JSON.stringify(fixed, exact);
    this.#hooks = hooks.length;
  }

  /** The first difference, undefined if there is none. */
  differenceTo(captured: Captured): JitError | undefined {
    const other = new CheckedCapture(captured);
    const { nodes } = this.#graph;
    const { nodes: others } = other.#graph;
    for (let i = 0; i < Math.max(nodes.length, others.length); i++) {
      const [before, now] = [nodes[i], others[i]];
      if (describe(before) !== describe(now))
        return difference(i, describe(before), describe(now), now ?? before);
      if (before.leaf >= 0 && this.#leaves[before.leaf] !== other.#leaves[now.leaf]) {
        return difference(i, `one ${describe(before)}`, "another", now);
      }
    }
    if (this.#outputs !== other.#outputs)
      return difference(nodes.length, "other results", "or updates", undefined);
    if (this.#fixed !== other.#fixed) {
      return new JitError(
        `the result has ${this.#fixed} beside tensors, and ${other.#fixed} when the function runs again`,
        {
          hint: "what plain JavaScript computes is recorded once: compute it outside",
        },
      );
    }
    if (this.#hooks !== other.#hooks) {
      return difference(nodes.length, `${this.#hooks} steps or random numbers`, `${other.#hooks}`, undefined);
    }
    return undefined;
  }
}

function describe(node: GraphNode | undefined): string {
  if (node === undefined) return "nothing";
  const { op, inputs, attributes, shape, dtype, scalar } = node;
  const kind = `${dtype} ${formatShape(shape)}`;
  if (op === undefined) return `tensor from outside, ${kind}`;
  return `${op.name}(${inputs})${scalar < 0 && attributes ? JSON.stringify(attributes, exact) : ""} ${kind}`;
}

/** JSON cannot represent -0, NaN and the infinities. */
function exact(_: string, value: unknown): unknown {
  return typeof value === "number" && (!Number.isFinite(value) || Object.is(value, -0))
    ? `${1 / value < 0 ? "-" : ""}${Math.abs(value)}`
    : value;
}

function difference(position: number, before: string, now: string, node: GraphNode | undefined): JitError {
  return new JitError(
    `node ${position} of the graph was ${before}, and is ${now} when the function runs again`,
    {
      hint:
        node?.op === undefined
          ? "a variable of the function was rebound, or it makes a new tensor from host data: pass it as an argument"
          : "what plain JavaScript computes is recorded once: pass it as an argument",
    },
  );
}
