/**
 * The compiler's input: the lazy tensors above the cut, as plain numbered nodes without tensors, together with
 * the binding of its leaves, scalars and outputs to the tensors of this call, and a key that is equal for
 * equal structures.
 */
import type { DType } from "../tensor/dtype.js";
import { StaleTensorError } from "../tensor/errors.js";
import type { Op, RuntimeScalar, ScalarAttributes, UniformAttributes } from "../tensor/op.js";
import { formatShape, type Shape } from "../tensor/shape.js";
import type { Storage } from "../tensor/storage.js";
import type { Tensor } from "../tensor/tensor.js";

/** A vertex; `op` is undefined for leaves. */
export interface GraphNode {
  readonly op: Op | undefined;
  readonly inputs: readonly number[];
  readonly attributes: unknown;
  readonly shape: Shape;
  readonly dtype: DType;
  /** Leaf number, or -1. */
  readonly leaf: number;
  /** First runtime scalar of a `scalar` or `uniform` source, or -1. */
  readonly scalar: number;
  /** The module that made it, while a profile is taken. */
  readonly scope?: string;
}

/** An in-place update: leaf `leaf` gets the value of node `value`. */
export interface Assignment {
  readonly leaf: number;
  readonly value: number;
}

/** Nodes are in topological order: inputs come before their consumers. */
export interface Graph {
  readonly nodes: readonly GraphNode[];
  readonly leafCount: number;
  readonly outputs: readonly number[];
  readonly assignments: readonly Assignment[];
  readonly scalars: readonly DType[];
}

/** A graph with the objects of the call it was extracted from. */
export interface BoundGraph {
  readonly graph: Graph;
  readonly key: string;
  readonly leaves: readonly Storage[];
  /** The first tensor through which each leaf was reached. */
  readonly owners: readonly Tensor[];
  readonly scalars: readonly RuntimeScalar[];
}

/**
 * Extracts what is needed to compute `outputs` (all lazy) and the `assigned` tensors' pending values. Tensors that
 * share memory are one leaf, except those in `separate`, each of which is a leaf of its own.
 * @throws StaleTensorError if a lazy tensor was built on a value that has been overwritten since.
 */
export function extractGraph(
  outputs: readonly Tensor[],
  assigned: readonly Tensor[],
  separate: ReadonlySet<Tensor> = new Set(),
): BoundGraph {
  const nodes: GraphNode[] = [];
  const leaves: Storage[] = [];
  const owners: Tensor[] = [];
  const scalars: RuntimeScalar[] = [];
  const ids = new Map<Tensor, number>();
  const leafIds = new Map<Storage | Tensor, number>();
  const scalarIds = new Map<RuntimeScalar, number>();
  const parts: string[] = [];

  const add = (node: GraphNode, key: string): number => {
    parts.push(key);
    return nodes.push(node) - 1;
  };
  const leafNode = (tensor: Tensor, storage: Storage): number => {
    const owner = separate.has(tensor) ? tensor : storage;
    let id = leafIds.get(owner);
    if (id === undefined) {
      const { shape, dtype } = tensor;
      const leaf = leaves.push(storage) - 1;
      owners.push(tensor);
      id = add(
        { op: undefined, inputs: [], attributes: undefined, shape, dtype, leaf, scalar: -1 },
        `L${dtype}${shape}`,
      );
      leafIds.set(owner, id);
    }
    return id;
  };
  const bindScalars = (list: readonly RuntimeScalar[]): number => {
    const known = scalarIds.get(list[0]);
    if (known !== undefined) return known;
    const first = scalars.length;
    for (const scalar of list) scalars.push(scalar);
    scalarIds.set(list[0], first);
    return first;
  };
  const visit = (root: Tensor): number => {
    const stack: Tensor[] = [root];
    while (stack.length > 0) {
      const tensor = stack[stack.length - 1];
      if (ids.has(tensor)) {
        stack.pop();
        continue;
      }
      if (tensor.storage !== undefined) {
        ids.set(tensor, leafNode(tensor, tensor.storage));
        stack.pop();
        continue;
      }
      const node = tensor.node;
      if (node === undefined) throw new StaleTensorError("the tensor was disposed before it was computed");
      let ready = true;
      node.values.forEach((input, i) => {
        if (input.storage !== undefined && input.storage.version !== node.versions[i])
          throw stale(tensor, input);
        if (!ids.has(input)) {
          stack.push(input);
          ready = false;
        }
      });
      if (!ready) continue;
      stack.pop();
      const inputs = node.values.map((input) => ids.get(input)!);
      let scalar = -1;
      let attributes = "";
      if (node.op.kind === "source" && node.op.source === "scalar") {
        scalar = bindScalars([(node.attributes as ScalarAttributes).scalar]);
      } else if (node.op.kind === "source" && node.op.source === "uniform") {
        scalar = bindScalars((node.attributes as UniformAttributes).stream);
      } else if (node.attributes !== undefined) {
        attributes = attributesKey(node.attributes);
      }
      const { shape, dtype } = tensor;
      const { scope } = node;
      // Profiles have Programs of their own, in which calls know their modules.
      const owner = scope === undefined ? "" : `@${scope}`;
      const key = `${node.op.name}(${inputs})${attributes}${scalar < 0 ? "" : `$${scalar}`}:${dtype}${shape}${owner}`;
      ids.set(
        tensor,
        add({ op: node.op, inputs, attributes: node.attributes, shape, dtype, leaf: -1, scalar, scope }, key),
      );
    }
    return ids.get(root)!;
  };

  const outputIds = outputs.map(visit);
  const assignments = assigned.map((target) => {
    const value = visit(target.pending!);
    return { value, leaf: nodes[leafNode(target, target.storage!)].leaf };
  });
  parts.push(`O${outputIds}`, `A${assignments.map((a) => `${a.leaf}=${a.value}`)}`);
  const graph: Graph = {
    nodes,
    leafCount: leaves.length,
    outputs: outputIds,
    assignments,
    scalars: scalars.map((scalar) => scalar.dtype),
  };
  return { graph, key: parts.join(";"), leaves, owners, scalars };
}

/** JSON, except that it tells -0, NaN and the infinities apart, which JSON would write as 0 or null. */
export function attributesKey(attributes: unknown): string {
  return attributes === undefined ? "" : JSON.stringify(attributes, exactNumbers);
}

function exactNumbers(_: string, value: unknown): unknown {
  if (typeof value !== "number") return value;
  return Object.is(value, -0) ? "#-0" : Number.isFinite(value) ? value : `#${value}`;
}

function stale(tensor: Tensor, input: Tensor): StaleTensorError {
  return new StaleTensorError(
    `a lazy tensor of shape ${formatShape(tensor.shape)} was built on a tensor of shape ${formatShape(input.shape)} ` +
      "that has been changed in place since",
    { op: tensor.node?.op.name, hint: "realize() or read it before optimizer.step(), or compute it again" },
  );
}
