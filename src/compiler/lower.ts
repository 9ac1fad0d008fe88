/**
 * Pass 4, lower: turns the scheduled steps into kernel calls over numbered slots, building fused expressions,
 * choosing the memory order of temporaries and copying only where no strides can express a view.
 */
import type { DeviceInfo } from "../device/device.js";
import type {
  Expression,
  Instruction,
  KernelCall,
  MapCall,
  MatmulCall,
  Operand,
  QconvCall,
  QmatmulCall,
} from "../device/kernel.js";
import type { DType } from "../tensor/dtype.js";
import type { IotaAttributes, Lowering, ReduceAttributes, ViewOp } from "../tensor/op.js";
import { type Shape, sameShape, sizeOf } from "../tensor/shape.js";
import {
  denseInOrder,
  expandView,
  isDense,
  isRowMajor,
  memoryOrder,
  rowMajor,
  type View,
} from "../tensor/view.js";
import type { Fusion } from "./fuse.js";
import type { Graph, GraphNode } from "./graph.js";
import type { Step } from "./schedule.js";

/** A slot before planning: leaves and results come first, then temporaries. */
export interface LoweredSlot {
  readonly dtype: DType;
  readonly size: number;
}

export interface Lowered {
  readonly calls: readonly KernelCall[];
  readonly slots: readonly LoweredSlot[];
  readonly leafCount: number;
  /** Per call, the module that it belongs to; only while a profile is taken. */
  readonly origins?: readonly (string | undefined)[];
}

/** View nodes to apply to a node's memory, innermost first. */
type Chain = readonly number[];

export function lower(graph: Graph, fusion: Fusion, steps: readonly Step[], info: DeviceInfo): Lowered {
  return new Lowerer(graph, fusion, info).run(steps);
}

class Lowerer {
  readonly #graph: Graph;
  readonly #fusion: Fusion;
  readonly #info: DeviceInfo;
  readonly #calls: KernelCall[] = [];
  readonly #slots: LoweredSlot[] = [];
  /** Where each materialized node and leaf lies. */
  readonly #memory = new Map<number, Operand>();
  /** Row-major copies made because a view could not be expressed, by node and chain. */
  readonly #copies = new Map<string, Operand>();
  /** Results that their node's kernel writes directly: node → output number. */
  readonly #direct = new Map<number, number>();

  constructor(graph: Graph, fusion: Fusion, info: DeviceInfo) {
    this.#graph = graph;
    this.#fusion = fusion;
    this.#info = info;
    const leaves: GraphNode[] = [];
    for (const node of graph.nodes) if (node.leaf >= 0) leaves[node.leaf] = node;
    for (const { dtype, shape } of leaves) this.#slots.push({ dtype, size: sizeOf(shape) });
    graph.outputs.forEach((id, output) => {
      const { dtype, shape } = graph.nodes[id];
      this.#slots.push({ dtype, size: sizeOf(shape) });
      if (fusion.materialized[id] && !this.#direct.has(id)) this.#direct.set(id, output);
    });
  }

  run(steps: readonly Step[]): Lowered {
    const copiesBack: KernelCall[] = [];
    const origins: (string | undefined)[] = [];
    for (const step of steps) {
      if (step.kind === "node") this.#lowerNode(step.node);
      else if (step.kind === "store") this.#lowerStore(step.output);
      else copiesBack.push(...this.#lowerUpdate(step.assignments, step.staged));
      const scope = this.#scopeOf(step);
      while (origins.length < this.#calls.length) origins.push(scope);
    }
    this.#calls.push(...copiesBack);
    const leafCount = this.#graph.leafCount + this.#graph.outputs.length;
    const lowered = { calls: this.#calls, slots: this.#slots, leafCount };
    return origins.some((scope) => scope !== undefined) ? { ...lowered, origins } : lowered;
  }

  #scopeOf(step: Step): string | undefined {
    const { nodes, outputs, assignments } = this.#graph;
    if (step.kind === "update") return nodes[assignments[step.assignments[0]].value].scope;
    const id = step.kind === "node" ? step.node : outputs[step.output];
    return nodes[this.#fusion.epilogues.get(id) ?? id].scope;
  }

  #lowerNode(id: number): void {
    const product = this.#fusion.epilogues.get(id);
    const node = this.#graph.nodes[product ?? id];
    const op = node.op!;
    switch (op.kind) {
      case "kernel":
        op.lower(this.#context(id, node));
        break;
      case "reduce": {
        const builder = this.#expression([node.inputs[0]]);
        const { shape } = this.#graph.nodes[node.inputs[0]];
        const output = this.#allocate(id, rowMajor(node.shape));
        const { axes } = node.attributes as ReduceAttributes;
        const { inputs, expression } = builder;
        this.#calls.push({ kernel: "reduce", op: op.reduction, shape, axes, inputs, expression, output });
        break;
      }
      default: {
        const { inputs, expression } = this.#expression([id], true);
        const output = this.#allocate(id, this.#mapLayout(node.shape, inputs, expression));
        this.#calls.push({ kernel: "map", shape: node.shape, inputs, outputs: [output], expression });
      }
    }
  }

  #lowerStore(output: number): void {
    const id = this.#graph.outputs[output];
    const node = this.#graph.nodes[id];
    const { inputs, expression } = this.#expression([id]);
    const slot = this.#graph.leafCount + output;
    const target: Operand = { slot, dtype: node.dtype, view: rowMajor(node.shape) };
    this.#calls.push({ kernel: "map", shape: node.shape, inputs, outputs: [target], expression });
  }

  /** Emits one kernel that stores all values; returns the copies to make at the very end if it is staged. */
  #lowerUpdate(assignments: readonly number[], staged: boolean): KernelCall[] {
    const list = assignments.map((i) => this.#graph.assignments[i]);
    const values = list.map(({ value }) => value);
    const { shape } = this.#graph.nodes[values[0]];
    const { inputs, expression } = this.#expression(values);
    const leaves = list.map(({ leaf, value }) => this.#row(leaf, this.#graph.nodes[value]));
    if (!staged) {
      this.#calls.push({ kernel: "map", shape, inputs, outputs: leaves, expression });
      return [];
    }
    const temporaries = leaves.map(({ dtype }) => this.#temporary(dtype, rowMajor(shape)));
    this.#calls.push({ kernel: "map", shape, inputs, outputs: temporaries, expression });
    return leaves.map((leaf, i) => copyCall(temporaries[i], leaf));
  }

  #row(slot: number, { dtype, shape }: GraphNode): Operand {
    return { slot, dtype, view: rowMajor(shape) };
  }

  #temporary(dtype: DType, view: View): Operand {
    const slot = this.#slots.push({ dtype, size: sizeOf(view.shape) }) - 1;
    return { slot, dtype, view };
  }

  /** Memory for a materialized node: its result buffer (row-major) if it is one, else a temporary. */
  #allocate(id: number, view: View): Operand {
    const { dtype, shape } = this.#graph.nodes[id];
    const output = this.#direct.get(id);
    const operand =
      output === undefined
        ? this.#temporary(dtype, view)
        : { slot: this.#graph.leafCount + output, dtype, view: rowMajor(shape) };
    this.#memory.set(id, operand);
    return operand;
  }

  /** The memory order of a map's result: that of the first dense operand, so that both are walked in step. */
  #mapLayout(shape: Shape, inputs: readonly Operand[], expression: Expression): View {
    const ordered = expression.instructions.some(({ op }) => op === "uniform" || op === "iota");
    if (!ordered) {
      for (const { view } of inputs) {
        if (sizeOf(shape) > 1 && isDense(view) && !isRowMajor(view))
          return denseInOrder(shape, memoryOrder(view));
        if (isRowMajor(view)) break;
      }
    }
    return rowMajor(shape);
  }

  #context(id: number, node: GraphNode): Lowering {
    return {
      attributes: node.attributes,
      info: this.#info,
      input: (i) => this.#operand(node.inputs[i]),
      output: (order) => this.#allocate(id, order ? denseInOrder(node.shape, order) : rowMajor(node.shape)),
      emit: (call) => {
        const relu = takesActivation(call) && this.#fusion.epilogues.has(id);
        this.#calls.push(relu ? { ...call, activation: "relu" } : call);
      },
    };
  }

  /** A node in memory, for kernels that read operands directly. */
  #operand(id: number): Operand {
    const chain: number[] = [];
    let base = id;
    while (!this.#fusion.materialized[base] && this.#graph.nodes[base].op?.kind === "view") {
      chain.unshift(base);
      base = this.#graph.nodes[base].inputs[0];
    }
    const node = this.#graph.nodes[base];
    if (node.leaf < 0 && !this.#fusion.materialized[base])
      return this.#broadcastSource(base, this.#graph.nodes[id]);
    return this.#viewed(base, chain);
  }

  /** A constant or runtime scalar that a kernel wants in memory: one element, broadcast. */
  #broadcastSource(base: number, { shape }: GraphNode): Operand {
    const key = `source ${base}`;
    let one = this.#copies.get(key);
    if (one === undefined) {
      const node = this.#graph.nodes[base];
      one = this.#temporary(node.dtype, rowMajor([]));
      const { inputs, expression } = this.#expression([base]);
      this.#calls.push({ kernel: "map", shape: [], inputs, outputs: [one], expression });
      this.#copies.set(key, one);
    }
    return { ...one, view: expandView(one.view, shape) };
  }

  /** The node's memory seen through a chain of views, copying where strides do not suffice. */
  #viewed(base: number, chain: Chain): Operand {
    const node = this.#graph.nodes[base];
    let operand = node.leaf >= 0 ? this.#row(node.leaf, node) : this.#memory.get(base)!;
    chain.forEach((id, i) => {
      const { op, attributes } = this.#graph.nodes[id];
      let view = (op as ViewOp).apply(operand.view, attributes);
      if (view === null) {
        const key = `${base}>${chain.slice(0, i).join(">")}`;
        let copy = this.#copies.get(key);
        if (copy === undefined) {
          copy = this.#temporary(operand.dtype, rowMajor(operand.view.shape));
          this.#calls.push(copyCall(operand, copy));
          this.#copies.set(key, copy);
        }
        operand = copy;
        view = (op as ViewOp).apply(operand.view, attributes)!;
      }
      operand = { ...operand, view };
    });
    return operand;
  }

  /** The fused expression that computes `roots`; `inside` expands the first root although it is materialized. */
  #expression(roots: readonly number[], inside = false): Pick<MapCall, "inputs" | "expression"> {
    const inputs: Operand[] = [];
    const instructions: Instruction[] = [];
    const known = new Map<string, number>();
    const graph = this.#graph;

    const emit = (instruction: Instruction): number => {
      const { op, dtype, args, value, index } = instruction;
      const key = `${op} ${dtype} ${args} ${Object.is(value, -0) ? "-0" : value} ${index}`;
      let result = known.get(key);
      if (result === undefined) {
        result = instructions.push(instruction) - 1;
        known.set(key, result);
      }
      return result;
    };
    const load = (operand: Operand): number => {
      let index = inputs.findIndex(
        (other) => other.slot === operand.slot && equalViews(other.view, operand.view),
      );
      if (index < 0) index = inputs.push(operand) - 1;
      return emit({ op: "load", dtype: operand.dtype, args: [], index });
    };
    const evaluated = new Map<string, number>();
    const evaluate = (id: number, chain: Chain, expand: boolean): number => {
      const key = `${id}>${chain.join(">")}`;
      const before = evaluated.get(key);
      if (before !== undefined) return before;
      const result = compute(id, chain, expand);
      evaluated.set(key, result);
      return result;
    };
    const compute = (id: number, chain: Chain, expand: boolean): number => {
      const { op, dtype, inputs: args, attributes, leaf, scalar } = graph.nodes[id];
      if (leaf >= 0 || (this.#fusion.materialized[id] && !expand)) return load(this.#viewed(id, chain));
      switch (op!.kind) {
        case "view":
          return evaluate(args[0], [id, ...chain], false);
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
    const results = roots.map((id, i) => evaluate(id, [], inside && i === 0));
    return { inputs, expression: { instructions, results } };
  }
}

function copyCall(from: Operand, to: Operand): MapCall {
  return {
    kernel: "map",
    shape: to.view.shape,
    inputs: [from],
    outputs: [to],
    expression: { instructions: [{ op: "load", dtype: from.dtype, args: [], index: 0 }], results: [0] },
  };
}

function equalViews(a: View, b: View): boolean {
  return a.offset === b.offset && sameShape(a.shape, b.shape) && sameShape(a.strides, b.strides);
}

/** Kernels with an epilogue. */
function takesActivation(call: KernelCall): call is MatmulCall | QmatmulCall | QconvCall {
  return call.kernel === "matmul" || call.kernel === "qmatmul" || call.kernel === "qconv";
}
