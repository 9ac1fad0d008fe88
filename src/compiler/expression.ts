/** Builds fused expressions: instructions that compute nodes from nodes in memory. */
import { sameShape } from "../core/shape.js";
import type { View } from "../core/view.js";
import type { IotaAttributes } from "../graph/op.js";
import type { Instruction, MapCall, Operand } from "../kernels/kernel.js";
import type { Fusion } from "./fuse.js";
import type { Graph } from "./graph.js";

/** Views between an expression and a node's memory, innermost first. */
export interface Chain {
  readonly view: number;
  readonly outer: Chain | undefined;
}

/** Operands of nodes in memory. */
export interface Memory {
  /** A materialized node or a leaf. */
  at(id: number): Operand;
  /** The same seen through a chain of views. */
  viewed(id: number, chain: Chain | undefined): Operand;
}

/**
 * The fused expression that computes `roots`; `inside` expands the first root although it is materialized. `own` is the node
 * whose kernel computes the expression: input 0.
 */
export function expressionOf(
  { nodes }: Graph,
  { materialized }: Fusion,
  memory: Memory,
  roots: readonly number[],
  inside = false,
  own = -1,
): Pick<MapCall, "inputs" | "expression"> {
  const inputs: Operand[] = own < 0 ? [] : [memory.at(roots[0])];
  const instructions: Instruction[] = [];

  const emit = (instruction: Instruction): number => {
    const known = instructions.findIndex((other) => sameInstruction(instruction, other));
    return known < 0 ? instructions.push(instruction) - 1 : known;
  };
  const load = (operand: Operand): number => {
    let index = inputs.findIndex(
      (other) => other.slot === operand.slot && equalViews(other.view, operand.view),
    );
    if (index < 0) index = inputs.push(operand) - 1;
    return emit({ op: "load", dtype: operand.dtype, args: [], index });
  };
  /** Results by chain of views, then by node; chains are compared by identity. */
  const evaluated = new Map<Chain | undefined, Map<number, number>>();
  const evaluate = (id: number, chain: Chain | undefined, expand: boolean): number => {
    let results = evaluated.get(chain);
    if (results === undefined) {
      results = new Map();
      evaluated.set(chain, results);
    }
    let result = results.get(id);
    if (result === undefined) {
      result = compute(id, chain, expand);
      results.set(id, result);
    }
    return result;
  };
  const compute = (id: number, chain: Chain | undefined, expand: boolean): number => {
    const { op, dtype, inputs: args, attributes, leaf, scalar } = nodes[id];
    if (id === own) return emit({ op: "load", dtype, args: [], index: 0 });
    if (leaf >= 0 || (materialized[id] && !expand)) return load(memory.viewed(id, chain));
    switch (op!.kind) {
      case "view":
        return evaluate(args[0], { view: id, outer: chain }, false);
      case "source":
        if (op!.source === "constant") {
          return emit({ op: "constant", dtype, args: [], value: (attributes as { value: number }).value });
        }
        if (op!.source === "iota") {
          return emit({ op: "iota", dtype, args: [], index: (attributes as IotaAttributes).dim });
        }
        return emit({ op: op!.source, dtype, args: [], index: scalar });
      case "elementwise": {
        const values = args.map((input) => evaluate(input, chain, false));
        return emit({ op: op!.instruction, dtype, args: values });
      }
      default:
        throw new Error(`compiler: ${op!.name} cannot be computed inline`);
    }
  };
  const results = roots.map((id, i) => evaluate(id, undefined, inside && i === 0));
  return { inputs, expression: { instructions, results } };
}

function sameInstruction(a: Instruction, b: Instruction): boolean {
  return (
    a.op === b.op &&
    a.dtype === b.dtype &&
    a.index === b.index &&
    Object.is(a.value, b.value) &&
    sameShape(a.args, b.args)
  );
}

function equalViews(a: View, b: View): boolean {
  return a.offset === b.offset && sameShape(a.shape, b.shape) && sameShape(a.strides, b.strides);
}
