/**
 * Pass 1, simplify: folds constants, drops identities and no-op views, joins neighbouring views, and shares
 * common subexpressions. Values never change: no rule here may alter a result for NaN, infinities or -0.
 */
import type { Op } from "../tensor/op.js";
import { sameShape } from "../tensor/shape.js";
import { attributesKey, type Graph, type GraphNode } from "./graph.js";

/** Returns an equivalent graph; nodes that became unreachable stay but are never asked for. */
export function simplify(graph: Graph): Graph {
  const nodes: GraphNode[] = [];
  const renamed: number[] = [];
  const known = new Map<string, number>();

  const share = (node: GraphNode): number => {
    const key = structuralKey(node);
    const existing = known.get(key);
    if (existing !== undefined) return existing;
    known.set(key, nodes.length);
    return nodes.push(node) - 1;
  };
  const constantOf = (id: number): number | undefined => {
    const { op, attributes } = nodes[id];
    return op?.kind === "source" && op.source === "constant"
      ? (attributes as { value: number }).value
      : undefined;
  };

  for (const original of graph.nodes) {
    const node = { ...original, inputs: original.inputs.map((id) => renamed[id]) };
    renamed.push(
      rewrite(node, nodes, constantOf) ??
        share(folded(node, nodes, constantOf) ?? withJoinedViews(node, nodes, constantOf)),
    );
  }
  return {
    ...graph,
    nodes,
    outputs: graph.outputs.map((id) => renamed[id]),
    assignments: graph.assignments.map(({ leaf, value }) => ({ leaf, value: renamed[value] })),
  };
}

type ConstantOf = (id: number) => number | undefined;

/** An existing node that has the same value as `node`, if a rule finds one. */
function rewrite(node: GraphNode, nodes: readonly GraphNode[], constantOf: ConstantOf): number | undefined {
  const { op, inputs } = node;
  if (op?.kind === "view") {
    if (op.name === "identity") return inputs[0];
    const identity = op.name === "reshape" || op.name === "expand";
    if (identity && sameShape(node.shape, nodes[inputs[0]].shape)) return inputs[0];
    if (op.name === "permute" && (node.attributes as { dims: number[] }).dims.every((d, i) => d === i))
      return inputs[0];
  }
  if (op?.kind === "elementwise") {
    const [a, b] = inputs;
    switch (op.instruction) {
      case "cast":
        return nodes[a].dtype === node.dtype ? a : undefined;
      case "mul":
        if (constantOf(b) === 1) return a;
        if (constantOf(a) === 1) return b;
        return undefined;
      case "div":
        return constantOf(b) === 1 ? a : undefined;
      case "sub":
        // x - 0 is x for every x; x + 0 would turn -0 into +0.
        return isPositiveZero(constantOf(b)) ? a : undefined;
      case "add":
        if (Object.is(constantOf(b), -0)) return a;
        if (Object.is(constantOf(a), -0)) return b;
        return undefined;
      case "neg": {
        const inner = nodes[a];
        return inner.op?.kind === "elementwise" && inner.op.instruction === "neg"
          ? inner.inputs[0]
          : undefined;
      }
      default:
        return undefined;
    }
  }
  return undefined;
}

/** Quotients round the same in float64 and then float32 as in float32, if the operands are such. */
const foldable: Readonly<Record<string, (a: number, b: number) => number>> = {
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
};

/** A product or quotient of two float32 constants as a constant: the gradient of a mean begins with one. */
function folded(
  { op, inputs, shape, dtype }: GraphNode,
  nodes: readonly GraphNode[],
  constantOf: ConstantOf,
): GraphNode | undefined {
  if (op?.kind !== "elementwise" || dtype !== "float32" || !(op.instruction in foldable)) return undefined;
  const [a, b] = inputs.map(constantOf);
  if (a === undefined || b === undefined || Math.fround(a) !== a || Math.fround(b) !== b) return undefined;
  return { ...nodes[inputs[0]], shape, dtype, attributes: { value: foldable[op.instruction](a, b) } };
}

function isPositiveZero(value: number | undefined): boolean {
  return value !== undefined && Object.is(value, 0);
}

/** Views of views of the same kind become one view; any view of a constant is a constant of its shape. */
function withJoinedViews(node: GraphNode, nodes: readonly GraphNode[], constantOf: ConstantOf): GraphNode {
  if (node.op?.kind !== "view") return node;
  const input = nodes[node.inputs[0]];
  if (constantOf(node.inputs[0]) !== undefined) return { ...input, shape: node.shape };
  if (input.op?.kind !== "view" || input.op.name !== node.op.name) return node;
  if (node.op.name === "reshape" || node.op.name === "expand") return { ...node, inputs: input.inputs };
  if (node.op.name === "permute") {
    const outer = (node.attributes as { dims: number[] }).dims;
    const inner = (input.attributes as { dims: number[] }).dims;
    return { ...node, inputs: input.inputs, attributes: { dims: outer.map((d) => inner[d]) } };
  }
  return node;
}

const opNumbers = new WeakMap<Op, number>();
let nextOpNumber = 0;

function structuralKey(node: GraphNode): string {
  if (node.op === undefined) return `leaf ${node.leaf}`;
  let number = opNumbers.get(node.op);
  if (number === undefined) {
    number = nextOpNumber++;
    opNumbers.set(node.op, number);
  }
  const attributes = node.scalar >= 0 ? `$${node.scalar}` : attributesKey(node.attributes);
  return `${number}(${node.inputs})${attributes}:${node.dtype}${node.shape}`;
}
