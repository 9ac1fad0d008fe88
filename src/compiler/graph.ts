/**
 * The compiler's input: lazy tensors as numbered nodes, down to tensors with memory (leaves); with the binding of leaves, scalars and
 * outputs to the tensors of this call, and a key that is equal for equal structures.
 */
import type { DType } from "../core/dtype.js";
import { StaleTensorError } from "../core/errors.js";
import { formatShape, type Shape } from "../core/shape.js";
import type { Op, RuntimeScalar, ScalarAttributes, UniformAttributes } from "../graph/op.js";
import type { Storage } from "../graph/storage.js";
import type { Node, Tensor } from "../graph/tensor.js";
import { Interner, numberOfText } from "./interner.js";

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
  /** The module and the composite that made it, while a profile is recorded; see graph/scope.ts. */
  readonly scope: string | undefined;
  /** Number of its op, attributes, shape and dtype in the graph's `signatures`. */
  readonly signature: number;
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
  readonly signatures: Signatures;
}

/** Numbers the distinct combinations of op, attributes, shape and dtype in a graph. */
export class Signatures {
  readonly interner = new Interner();

  /** `attributes` are undefined for sources of runtime scalars. */
  of(op: Op | undefined, attributes: unknown, shape: Shape, dtype: DType): number {
    const { interner } = this;
    interner.push(op === undefined ? -1 : numberOfOp(op));
    interner.push(numberOfText(dtype));
    interner.pushList(shape);
    if (attributes !== undefined) interner.pushData(attributes);
    return interner.intern();
  }
}

const opNumbers = new WeakMap<Op, number>();
let opCount = 0;

function numberOfOp(op: Op): number {
  let number = opNumbers.get(op);
  if (number === undefined) {
    number = opCount++;
    opNumbers.set(op, number);
  }
  return number;
}

/** A graph with the objects of the call it was extracted from. */
export interface BoundGraph {
  readonly graph: Graph;
  readonly key: string;
  readonly leaves: readonly Storage[];
  /** The first tensor through which each leaf was reached. */
  readonly owners: readonly Tensor[];
  readonly scalars: readonly RuntimeScalar[];
  /** The tensors whose pending values are written, by assignment. */
  readonly assigned: readonly Tensor[];
}

/**
 * Extracts the graph of `outputs` (all lazy) and of the pending values of the `given` tensors, which are assigned. Tensors that share
 * memory are one leaf, except the tensors in `separate`, each of which is a separate leaf. Tensors in `waiting` are assigned too if their
 * pending value replaces a part of their memory and the outputs need it, because it is computed in place.
 * @throws StaleTensorError if a lazy tensor was built on a value that was overwritten since.
 */
export function extractGraph(
  outputs: readonly Tensor[],
  given: readonly Tensor[],
  separate: ReadonlySet<Tensor> = new Set(),
  waiting: Iterable<Tensor> = [],
): BoundGraph {
  const nodes: GraphNode[] = [];
  const leaves: Storage[] = [];
  const owners: Tensor[] = [];
  const scalars: RuntimeScalar[] = [];
  const leafIds = new Map<Storage | Tensor, number>();
  const scalarIds = new Map<RuntimeScalar, number>();
  const signatures = new Signatures();
  const key = new KeyWriter();
  // Marks of earlier extractions are smaller.
  const base = nextMark;

  /** -1 for a node that is not extracted yet. */
  const known = (tensor: Tensor): number => {
    const { storage, node } = tensor;
    if (storage !== undefined) return leafNode(tensor, storage);
    if (node === undefined) throw new StaleTensorError("a tensor was disposed before it was computed");
    return node.mark < base ? -1 : node.mark - base;
  };
  const leafNode = (tensor: Tensor, storage: Storage): number => {
    const owner = separate.has(tensor) ? tensor : storage;
    let id = leafIds.get(owner);
    if (id === undefined) {
      if (storage.disposed)
        throw new StaleTensorError(`a tensor of shape ${formatShape(tensor.shape)} was disposed`);
      const { shape, dtype } = tensor;
      const leaf = leaves.push(storage) - 1;
      owners.push(tensor);
      const signature = signatures.of(undefined, undefined, shape, dtype);
      id = nodes.length;
      nodes.push({
        op: undefined,
        inputs: [],
        attributes: undefined,
        shape,
        dtype,
        leaf,
        scalar: -1,
        scope: undefined,
        signature,
      });
      key.push(signature);
      leafIds.set(owner, id);
      nextMark++;
    }
    return id;
  };
  const bindScalars = (list: readonly RuntimeScalar[]): number => {
    let first = scalarIds.get(list[0]);
    if (first === undefined) {
      first = scalars.length;
      for (const scalar of list) scalars.push(scalar);
      scalarIds.set(list[0], first);
    }
    return first;
  };
  const add = ({ shape, dtype }: Tensor, node: Node): number => {
    const { op, attributes, values, scope } = node;
    const inputs = new Array<number>(values.length);
    for (let i = 0; i < inputs.length; i++) inputs[i] = known(values[i]);
    let scalar = -1;
    if (op.kind === "source" && op.source === "scalar") {
      scalar = bindScalars([(attributes as ScalarAttributes).scalar]);
    } else if (op.kind === "source" && op.source === "uniform") {
      scalar = bindScalars((attributes as UniformAttributes).stream);
    }
    const signature = signatures.of(op, scalar < 0 ? attributes : undefined, shape, dtype);
    node.mark = nextMark++;
    nodes.push({ op, inputs, attributes, shape, dtype, leaf: -1, scalar, scope, signature });
    key.push(signature);
    key.push(inputs.length);
    for (const input of inputs) key.push(input);
    key.push(scalar);
    // Profiles use separate Programs, whose calls have provenance.
    key.push(scope === undefined ? -1 : numberOfText(scope));
    return nodes.length - 1;
  };
  const visit = (root: Tensor): number => {
    const before = known(root);
    if (before >= 0) return before;
    // Depth-first: the path, and for each tensor on it the number of inputs still to visit.
    const path: Tensor[] = [];
    const left: number[] = [];
    const enter = (tensor: Tensor): void => {
      if (tensor.recording?.ended) requireFixed(tensor);
      const { values, versions } = tensor.node!;
      for (let i = 0; i < values.length; i++) {
        const { storage } = values[i];
        if (storage !== undefined && storage.version !== versions[i]) throw stale(tensor, values[i]);
      }
      path.push(tensor);
      left.push(values.length);
    };
    enter(root);
    let last = -1;
    while (path.length > 0) {
      const top = path.length - 1;
      const tensor = path[top];
      const node = tensor.node!;
      if (left[top] > 0) {
        const input = node.values[--left[top]];
        if (known(input) < 0) enter(input);
      } else {
        path.pop();
        left.pop();
        last = add(tensor, node);
      }
    }
    return last;
  };

  const outputIds = outputs.map(visit);
  const isNeeded = ({ pending }: Tensor) => isPartial(pending!) && known(pending!) >= 0;
  const assigned = [...given, ...[...waiting].filter(isNeeded)];
  const assignments = assigned.map((target) => {
    const value = visit(target.pending!);
    return { value, leaf: nodes[leafNode(target, target.storage!)].leaf };
  });
  key.push(-1);
  key.push(outputs.length);
  for (const id of outputIds) key.push(id);
  for (const { leaf, value } of assignments) {
    key.push(leaf);
    key.push(value);
  }
  key.push(-1);
  signatures.interner.forEachWord((word) => key.push(word));
  const graph: Graph = {
    nodes,
    leafCount: leaves.length,
    outputs: outputIds,
    assignments,
    scalars: scalars.map((scalar) => scalar.dtype),
    signatures,
  };
  return { graph, key: key.toString(), leaves, owners, scalars, assigned };
}

/** Whether a lazy value is another tensor's with a part replaced. */
export function isPartial({ storage, node }: Tensor): boolean {
  return storage === undefined && node?.op.kind === "kernel" && node.op.writesInput === true;
}

/** @throws StaleTensorError for a tensor that a jit function made and did not return, unless it is a constant. */
function requireFixed({ shape, node }: Tensor): void {
  const { op, values } = node!;
  const isFixed = op.kind !== "source" || op.source === "constant" || op.source === "iota";
  if (isFixed && values.every(({ storage }) => storage === undefined)) return;
  throw new StaleTensorError(
    `a tensor of shape ${formatShape(shape)} was made inside a jit function and is used after its call`,
    { op: op.name, hint: "return it" },
  );
}

/** Larger than all marks so far; each extraction has its own range. */
let nextMark = 0;

/** Writes words as UTF-16 units; the encoding is injective: different sequences of words have different strings. */
class KeyWriter {
  #units = new Uint16Array(1024);
  #length = 0;

  push(word: number): void {
    if (this.#length + 3 > this.#units.length) {
      const units = new Uint16Array(2 * this.#units.length);
      units.set(this.#units);
      this.#units = units;
    }
    if (word >>> 15 === 0) {
      this.#units[this.#length++] = word;
    } else {
      this.#units[this.#length++] = 0x8000 | (word >>> 28);
      this.#units[this.#length++] = (word >>> 14) & 0x3fff;
      this.#units[this.#length++] = word & 0x3fff;
    }
  }

  toString(): string {
    const parts: string[] = [];
    // Functions take some ten thousands of arguments.
    for (let i = 0; i < this.#length; i += 8192) {
      const part = this.#units.subarray(i, Math.min(i + 8192, this.#length));
      parts.push(String.fromCharCode.apply(null, part as unknown as number[]));
    }
    return parts.join("");
  }
}

function stale(tensor: Tensor, input: Tensor): StaleTensorError {
  return new StaleTensorError(
    `a lazy tensor of shape ${formatShape(tensor.shape)} was built on a tensor of shape ${formatShape(input.shape)} ` +
      "that has been changed in place since",
    { op: tensor.node?.op.name, hint: "realize() or read it before optimizer.step(), or compute it again" },
  );
}
