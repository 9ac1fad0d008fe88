/**
 * Memory of nodes while a graph is lowered: the operand of each node in memory, temporaries, and copies where no strides express a
 * view.
 */
import type { DType } from "../core/dtype.js";
import { sizeOf } from "../core/shape.js";
import { expandView, rowMajor, type View } from "../core/view.js";
import type { ViewOp } from "../graph/op.js";
import type { KernelCall, MapCall, Operand } from "../kernels/kernel.js";
import { type Chain, expressionOf, type Memory } from "./expression.js";
import { type Fusion, isDirect } from "./fuse.js";
import type { Graph, GraphNode } from "./graph.js";
import type { StepDescriptions } from "./step_descriptions.js";

/** A slot before planning, in the order leaves, results, temporaries. */
export interface LoweredSlot {
  readonly dtype: DType;
  readonly size: number;
}

export interface Copy {
  /** The node and its views, as node ids, or in a template as indices into the description's nodes. */
  readonly path: readonly number[];
  readonly operand: Operand;
}

export class NodeMemory implements Memory {
  readonly slots: LoweredSlot[] = [];
  /** Results that their node's kernel writes directly: node → output number. */
  readonly direct = new Map<number, number>();
  /** Copies that steps share, by node and views: of views that no strides express, and of broadcast sources. */
  readonly copies = new Map<string, Operand>();
  /** Copies that the current step makes, and whether it reads one of an earlier step. */
  made: Copy[] = [];
  readsCopies = false;
  readonly #graph: Graph;
  readonly #fusion: Fusion;
  readonly #steps: StepDescriptions;
  /** Kernels that make copies are appended here. */
  readonly #calls: KernelCall[];
  /** The operand of each materialized node and leaf. */
  readonly #operands: (Operand | undefined)[] = [];

  constructor(graph: Graph, fusion: Fusion, steps: StepDescriptions, calls: KernelCall[]) {
    this.#graph = graph;
    this.#fusion = fusion;
    this.#steps = steps;
    this.#calls = calls;
    const { nodes } = graph;
    nodes.forEach((node, id) => {
      if (node.leaf < 0) return;
      this.slots[node.leaf] = { dtype: node.dtype, size: sizeOf(node.shape) };
      this.place(id, this.row(node.leaf, node));
    });
    graph.outputs.forEach((id, output) => {
      const { dtype, shape } = nodes[id];
      this.slots.push({ dtype, size: sizeOf(shape) });
      if (isDirect(id, fusion) && !this.direct.has(id)) this.direct.set(id, output);
    });
  }

  at(id: number): Operand {
    return this.#operands[id]!;
  }

  place(id: number, operand: Operand): void {
    this.#operands[id] = operand;
    this.#steps.place(id, operand);
  }

  row(slot: number, { dtype, shape }: GraphNode): Operand {
    return { slot, dtype, view: rowMajor(shape) };
  }

  temporary(dtype: DType, view: View): Operand {
    const slot = this.slots.push({ dtype, size: sizeOf(view.shape) }) - 1;
    return { slot, dtype, view };
  }

  /** Memory for a materialized node: its result buffer or the leaf that it writes into (row-major), else a temporary. */
  allocate(id: number, view: View): Operand {
    const node = this.#graph.nodes[id];
    const output = this.direct.get(id);
    const slot = output === undefined ? this.#fusion.inPlace.get(id) : this.#graph.leafCount + output;
    const operand = slot === undefined ? this.temporary(node.dtype, view) : this.row(slot, node);
    this.place(id, operand);
    return operand;
  }

  /** A node in memory, for kernels that read operands directly. */
  operand(id: number): Operand {
    let chain: Chain | undefined;
    let base = id;
    while (!this.#fusion.materialized[base] && this.#graph.nodes[base].op?.kind === "view") {
      chain = { view: base, outer: chain };
      base = this.#graph.nodes[base].inputs[0];
    }
    const node = this.#graph.nodes[base];
    if (node.leaf < 0 && !this.#fusion.materialized[base])
      return this.#broadcastSource(base, this.#graph.nodes[id]);
    return this.viewed(base, chain);
  }

  /** The node's memory through a chain of views, with a copy if no strides express a view. */
  viewed(base: number, chain: Chain | undefined): Operand {
    let operand = this.at(base);
    const path = [base];
    for (let link = chain; link !== undefined; link = link.outer) {
      const { op, attributes } = this.#graph.nodes[link.view];
      let view = (op as ViewOp).apply(operand.view, attributes);
      if (view === null) {
        const source = operand;
        operand = this.#copy([...path], () => {
          const result = this.temporary(source.dtype, rowMajor(source.view.shape));
          this.#calls.push(copyCall(source, result));
          return result;
        });
        view = (op as ViewOp).apply(operand.view, attributes)!;
      }
      operand = { slot: operand.slot, dtype: operand.dtype, view };
      path.push(link.view);
    }
    return operand;
  }

  /** A constant or runtime scalar as a kernel operand: one element in memory, broadcast. */
  #broadcastSource(base: number, { shape }: GraphNode): Operand {
    const one = this.#copy([base], () => {
      const result = this.temporary(this.#graph.nodes[base].dtype, rowMajor([]));
      const { inputs, expression } = expressionOf(this.#graph, this.#fusion, this, [base]);
      this.#calls.push({ kernel: "map", shape: [], inputs, outputs: [result], expression });
      return result;
    });
    return { ...one, view: expandView(one.view, shape) };
  }

  /** The shared copy of a path, made on first use. */
  #copy(path: readonly number[], make: () => Operand): Operand {
    const key = path.join(">");
    let operand = this.copies.get(key);
    if (operand === undefined) {
      operand = make();
      this.copies.set(key, operand);
      this.made.push({ path, operand });
    } else if (!this.made.some((made) => made.operand === operand)) {
      this.readsCopies = true;
    }
    return operand;
  }
}

export function copyCall(from: Operand, to: Operand): MapCall {
  return {
    kernel: "map",
    shape: to.view.shape,
    inputs: [from],
    outputs: [to],
    expression: { instructions: [{ op: "load", dtype: from.dtype, args: [], index: 0 }], results: [0] },
  };
}
