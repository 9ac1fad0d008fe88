/**
 * Pass 1, simplify: folds constants, drops identities and no-op views, joins neighbouring views, and shares
 * common subexpressions. Values never change: no rule here may alter a result for NaN, infinities or -0.
 */
import { sameShape } from "../core/shape.js";
import type { InstructionName } from "../kernels/instructions.js";
import type { Graph, GraphNode, Signatures } from "./graph.js";
import { Interner } from "./interner.js";

/** Returns an equivalent graph; unreachable nodes stay in the list but are not compiled. */
export function simplify(graph: Graph): Graph {
  const { signatures } = graph;
  const nodes: GraphNode[] = [];
  const renamed: number[] = [];
  /** Gives each distinct node its place in `nodes`. */
  const places = new Interner();

  const share = (node: GraphNode): number => {
    places.push(node.signature);
    places.push(node.leaf);
    places.push(node.scalar);
    for (const input of node.inputs) places.push(input);
    const place = places.intern();
    if (place === nodes.length) nodes.push(node);
    return place;
  };
  const constantOf = (id: number): number | undefined => {
    const { op, attributes } = nodes[id];
    return op?.kind === "source" && op.source === "constant"
      ? (attributes as { value: number }).value
      : undefined;
  };

  for (const original of graph.nodes) {
    const node = withInputs(original, renamed);
    renamed.push(
      rewrite(node, nodes, constantOf) ??
        share(
          folded(node, nodes, constantOf, signatures) ?? withJoinedViews(node, nodes, constantOf, signatures),
        ),
    );
  }
  return {
    ...graph,
    nodes,
    outputs: graph.outputs.map((id) => renamed[id]),
    assignments: graph.assignments.map(({ leaf, value }) => ({ leaf, value: renamed[value] })),
  };
}

/** The node with renumbered inputs; the node itself if none changes. */
function withInputs(node: GraphNode, renamed: readonly number[]): GraphNode {
  const { inputs } = node;
  let same = true;
  for (let i = 0; i < inputs.length; i++) if (renamed[inputs[i]] !== inputs[i]) same = false;
  if (same) return node;
  const { op, attributes, shape, dtype, leaf, scalar, scope, signature } = node;
  const changed = inputs.map((id) => renamed[id]);
  return { op, inputs: changed, attributes, shape, dtype, leaf, scalar, scope, signature };
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
  if (op?.kind === "elementwise") return identities[op.instruction]?.(node, nodes, constantOf);
  return undefined;
}

type Rule = typeof rewrite;

/** Identities: rules for instructions that return one of their arguments. No rule may change a result for NaN, infinities or -0. */
const identities: { readonly [Name in InstructionName]?: Rule } = {
  cast: ({ inputs: [a], dtype }, nodes) => (nodes[a].dtype === dtype ? a : undefined),
  mul: ({ inputs: [a, b] }, _, constantOf) => (constantOf(b) === 1 ? a : constantOf(a) === 1 ? b : undefined),
  div: ({ inputs: [a, b] }, _, constantOf) => (constantOf(b) === 1 ? a : undefined),
  // x - 0 is x for every x; x + 0 would turn -0 into +0.
  sub: ({ inputs: [a, b] }, _, constantOf) => (Object.is(constantOf(b), 0) ? a : undefined),
  add: ({ inputs: [a, b] }, _, constantOf) =>
    Object.is(constantOf(b), -0) ? a : Object.is(constantOf(a), -0) ? b : undefined,
  neg: ({ inputs: [a] }, nodes) => {
    const { op, inputs } = nodes[a];
    return op?.kind === "elementwise" && op.instruction === "neg" ? inputs[0] : undefined;
  },
};

/** For float32 operands, products and quotients rounded to float64 and then to float32 equal the float32 results. */
const foldable: Readonly<Record<string, (a: number, b: number) => number>> = {
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
};

/** A product or quotient of two float32 constants as a constant: the gradient of a mean begins with one. */
function folded(
  { op, inputs, shape, dtype }: GraphNode,
  nodes: readonly GraphNode[],
  constantOf: ConstantOf,
  signatures: Signatures,
): GraphNode | undefined {
  if (op?.kind !== "elementwise" || dtype !== "float32" || !(op.instruction in foldable)) return undefined;
  const [a, b] = [constantOf(inputs[0]), constantOf(inputs[1])];
  if (a === undefined || b === undefined || Math.fround(a) !== a || Math.fround(b) !== b) return undefined;
  const constant = nodes[inputs[0]];
  const attributes = { value: foldable[op.instruction](a, b) };
  return {
    ...constant,
    shape,
    dtype,
    attributes,
    signature: signatures.of(constant.op, attributes, shape, dtype),
  };
}

/** Views of views of the same kind become one view; any view of a constant is a constant of its shape. */
function withJoinedViews(
  node: GraphNode,
  nodes: readonly GraphNode[],
  constantOf: ConstantOf,
  signatures: Signatures,
): GraphNode {
  const { op, shape, dtype } = node;
  if (op?.kind !== "view") return node;
  const input = nodes[node.inputs[0]];
  if (constantOf(node.inputs[0]) !== undefined) {
    return { ...input, shape, signature: signatures.of(input.op, input.attributes, shape, input.dtype) };
  }
  if (input.op?.kind !== "view" || input.op.name !== op.name) return node;
  if (op.name === "reshape" || op.name === "expand") return { ...node, inputs: input.inputs };
  if (op.name === "permute") {
    const outer = (node.attributes as { dims: number[] }).dims;
    const inner = (input.attributes as { dims: number[] }).dims;
    const attributes = { dims: outer.map((d) => inner[d]) };
    const signature = signatures.of(op, attributes, shape, dtype);
    return { ...node, inputs: input.inputs, attributes, signature };
  }
  return node;
}
