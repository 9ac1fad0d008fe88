/**
 * Pass 4, lower: turns the scheduled steps into kernel calls over numbered slots, building fused expressions,
 * choosing the memory order of temporaries and copying only where no strides can express a view.
 */

import type { DType } from "../core/dtype.js";
import { type Shape, sameShape, sizeOf } from "../core/shape.js";
import {
  denseInOrder,
  expandView,
  isDense,
  isRowMajor,
  memoryOrder,
  rowMajor,
  type View,
} from "../core/view.js";
import type { DeviceInfo } from "../device/device.js";
import type { IotaAttributes, KernelOp, Lowering, ReduceAttributes, ViewOp } from "../graph/op.js";
import type { Epilogue } from "../kernels/epilogue.js";
import { instructionOf } from "../kernels/instructions.js";
import type { Expression, Instruction, KernelCall, MapCall, Operand } from "../kernels/kernel.js";
import { withSlots } from "../kernels/operands.js";
import { type Fusion, isDirect } from "./fuse.js";
import type { Graph, GraphNode } from "./graph.js";
import type { Step } from "./schedule.js";
import { StepDescriptions } from "./step_descriptions.js";

/** A slot before planning: leaves and results come first, then temporaries. */
export interface LoweredSlot {
  readonly dtype: DType;
  readonly size: number;
}

export interface Lowered {
  readonly calls: readonly KernelCall[];
  readonly slots: readonly LoweredSlot[];
  readonly leafCount: number;
  /** Of calls that differ from an earlier one in slots only, that one. */
  readonly alike: ReadonlyMap<KernelCall, KernelCall>;
  /** Per call, the module that it belongs to; only while a profile is taken. */
  readonly origins?: readonly (string | undefined)[];
}

/** Views between an expression and a node's memory, innermost first. */
interface Chain {
  readonly view: number;
  readonly outer: Chain | undefined;
}

interface Copy {
  /** The node and the views upon it, in the graph or in a template as places in the description. */
  readonly path: readonly number[];
  readonly operand: Operand;
}

/**
 * What lowering a step gave, for steps that are the same but for the nodes that they read: the layers of a network's
 * blocks, and the updates of parameters of one shape.
 */
interface Template {
  /** The first call and how many there are. */
  readonly start: number;
  readonly count: number;
  /** Slots that are read or updated, in the order of the step's description. */
  readonly slots: readonly number[];
  /** The first of the slots that were added, and the one of the result. */
  readonly firstAdded: number;
  readonly added: readonly LoweredSlot[];
  readonly copies: readonly Copy[];
  /** Where a materialized node's result lies. */
  readonly output: Operand | undefined;
}

export function lower(graph: Graph, fusion: Fusion, steps: readonly Step[], info: DeviceInfo): Lowered {
  return new Lowerer(graph, fusion, info).run(steps);
}

class Lowerer {
  readonly #graph: Graph;
  readonly #fusion: Fusion;
  readonly #info: DeviceInfo;
  readonly #calls: KernelCall[] = [];
  readonly #alike = new Map<KernelCall, KernelCall>();
  readonly #slots: LoweredSlot[] = [];
  /** Where each materialized node and leaf lies. */
  readonly #memory: (Operand | undefined)[] = [];
  /** Copies that steps share: of views that no strides express, by node and views, and of broadcast sources. */
  readonly #copies = new Map<string, Operand>();
  /** Results that their node's kernel writes directly: node → output number. */
  readonly #direct = new Map<number, number>();
  readonly #steps: StepDescriptions;
  /** By the number of a description. */
  readonly #templates: (Template | undefined)[] = [];
  /** Copies that the current step makes, and whether it reads one of an earlier step. */
  #made: Copy[] = [];
  #readsCopies = false;

  constructor(graph: Graph, fusion: Fusion, info: DeviceInfo) {
    this.#graph = graph;
    this.#fusion = fusion;
    this.#info = info;
    const { nodes } = graph;
    this.#steps = new StepDescriptions(graph, fusion);
    nodes.forEach((node, id) => {
      if (node.leaf < 0) return;
      this.#slots[node.leaf] = { dtype: node.dtype, size: sizeOf(node.shape) };
      this.#remember(id, this.#row(node.leaf, node));
    });
    graph.outputs.forEach((id, output) => {
      const { dtype, shape } = nodes[id];
      this.#slots.push({ dtype, size: sizeOf(shape) });
      if (isDirect(id, fusion) && !this.#direct.has(id)) this.#direct.set(id, output);
    });
  }

  run(steps: readonly Step[]): Lowered {
    const copiesBack: KernelCall[] = [];
    const origins: (string | undefined)[] = [];
    for (const step of steps) {
      this.#lowerStep(step, copiesBack);
      const scope = this.#scopeOf(step);
      while (origins.length < this.#calls.length) origins.push(scope);
    }
    this.#calls.push(...copiesBack);
    const leafCount = this.#graph.leafCount + this.#graph.outputs.length;
    const lowered = { calls: this.#calls, slots: this.#slots, leafCount, alike: this.#alike };
    return origins.some((scope) => scope !== undefined) ? { ...lowered, origins } : lowered;
  }

  #lowerStep(step: Step, copiesBack: KernelCall[]): void {
    const description = this.#steps.describe(step, this.#direct);
    const template = this.#templates[description];
    if (template !== undefined && this.#repeat(template, step)) return;
    const start = this.#calls.length;
    const firstAdded = this.#slots.length;
    this.#made = [];
    this.#readsCopies = false;
    if (step.kind === "node") this.#lowerNode(step.node);
    else if (step.kind === "store") this.#lowerStore(step.output);
    else copiesBack.push(...this.#lowerUpdate(step.assignments, step.staged));
    if (this.#readsCopies || (step.kind === "update" && step.staged)) return;
    this.#templates[description] = {
      start,
      count: this.#calls.length - start,
      slots: this.#steps.slots,
      firstAdded,
      added: this.#slots.slice(firstAdded),
      copies: this.#made.map(({ path, operand }) => ({
        path: path.map((id) => this.#steps.nodes.indexOf(id)),
        operand,
      })),
      output: step.kind === "node" ? this.#memory[step.node] : undefined,
    };
  }

  /** The calls of an earlier step, over the slots of this one; false if a copy that they make exists already. */
  #repeat({ start, count, slots, firstAdded, added, copies, output }: Template, step: Step): boolean {
    const keys = copies.map(({ path }) => path.map((place) => this.#steps.nodes[place]).join(">"));
    if (keys.some((key) => this.#copies.has(key))) return false;
    const now = this.#steps.slots;
    const moved = this.#slots.length - firstAdded;
    for (const slot of added) this.#slots.push(slot);
    const rename = (slot: number): number => (slot >= firstAdded ? slot + moved : now[slots.indexOf(slot)]);
    for (let i = start; i < start + count; i++) {
      const call = withSlots(this.#calls[i], rename);
      this.#calls.push(call);
      this.#alike.set(call, this.#calls[i]);
    }
    const renamed = ({ slot, dtype, view }: Operand): Operand => ({ slot: rename(slot), dtype, view });
    copies.forEach(({ operand }, i) => {
      this.#copies.set(keys[i], renamed(operand));
    });
    if (step.kind === "node") this.#remember(step.node, renamed(output!));
    return true;
  }

  #remember(id: number, operand: Operand): void {
    this.#memory[id] = operand;
    this.#steps.place(id, operand);
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

  /** Memory for a materialized node: its result buffer or the leaf that it writes into (row-major), else a temporary. */
  #allocate(id: number, view: View): Operand {
    const node = this.#graph.nodes[id];
    const output = this.#direct.get(id);
    const slot = output === undefined ? this.#fusion.inPlace.get(id) : this.#graph.leafCount + output;
    const operand = slot === undefined ? this.#temporary(node.dtype, view) : this.#row(slot, node);
    this.#remember(id, operand);
    return operand;
  }

  /** The memory order of a map's result: that of the first dense operand, so that both are walked in step. */
  #mapLayout(shape: Shape, inputs: readonly Operand[], expression: Expression): View {
    const ordered = expression.instructions.some(({ op }) => instructionOf(op).isPositional);
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
      output: (order) => {
        if (order !== undefined) return this.#allocate(id, denseInOrder(node.shape, order));
        // Of a product with an epilogue, `id` is the epilogue's node: the same elements, maybe under another shape.
        const { shape } = this.#graph.nodes[id];
        return { ...this.#allocate(id, rowMajor(shape)), view: rowMajor(node.shape) };
      },
      emit: (call) => {
        const product = this.#fusion.epilogues.get(id);
        if (product === undefined) this.#calls.push(call);
        else if ((node.op as KernelOp).fusesRelu)
          this.#calls.push({ ...call, activation: "relu" } as KernelCall);
        else this.#calls.push({ ...call, epilogue: this.#epilogue(id, product) } as KernelCall);
      },
    };
  }

  /** What the kernel of node `product` computes besides: node `id`. */
  #epilogue(id: number, product: number): Epilogue {
    const { inputs, expression } = this.#expression([id], true, product);
    return { shape: this.#graph.nodes[id].shape, inputs: inputs.slice(1), expression };
  }

  /** A node in memory, for kernels that read operands directly. */
  #operand(id: number): Operand {
    let chain: Chain | undefined;
    let base = id;
    while (!this.#fusion.materialized[base] && this.#graph.nodes[base].op?.kind === "view") {
      chain = { view: base, outer: chain };
      base = this.#graph.nodes[base].inputs[0];
    }
    const node = this.#graph.nodes[base];
    if (node.leaf < 0 && !this.#fusion.materialized[base])
      return this.#broadcastSource(base, this.#graph.nodes[id]);
    return this.#viewed(base, chain);
  }

  /** A constant or runtime scalar that a kernel wants in memory: one element, broadcast. */
  #broadcastSource(base: number, { shape }: GraphNode): Operand {
    const one = this.#copy([base], () => {
      const result = this.#temporary(this.#graph.nodes[base].dtype, rowMajor([]));
      const { inputs, expression } = this.#expression([base]);
      this.#calls.push({ kernel: "map", shape: [], inputs, outputs: [result], expression });
      return result;
    });
    return { ...one, view: expandView(one.view, shape) };
  }

  /** The node's memory seen through a chain of views, copying where strides do not suffice. */
  #viewed(base: number, chain: Chain | undefined): Operand {
    let operand = this.#memory[base]!;
    const path = [base];
    for (let link = chain; link !== undefined; link = link.outer) {
      const { op, attributes } = this.#graph.nodes[link.view];
      let view = (op as ViewOp).apply(operand.view, attributes);
      if (view === null) {
        const source = operand;
        operand = this.#copy([...path], () => {
          const result = this.#temporary(source.dtype, rowMajor(source.view.shape));
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

  /** The copy for all steps that want one of this path. */
  #copy(path: readonly number[], make: () => Operand): Operand {
    const key = path.join(">");
    let operand = this.#copies.get(key);
    if (operand === undefined) {
      operand = make();
      this.#copies.set(key, operand);
      this.#made.push({ path, operand });
    } else if (!this.#made.some((made) => made.operand === operand)) {
      this.#readsCopies = true;
    }
    return operand;
  }

  /**
   * The fused expression that computes `roots`; `inside` expands the first root although it is materialized. `own` is the node
   * whose kernel computes the expression: input 0.
   */
  #expression(roots: readonly number[], inside = false, own = -1): Pick<MapCall, "inputs" | "expression"> {
    const inputs: Operand[] = own < 0 ? [] : [this.#memory[roots[0]]!];
    const instructions: Instruction[] = [];
    const { nodes } = this.#graph;

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
    /** By the views through which a node is read; each chain is made once. */
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
      if (leaf >= 0 || (this.#fusion.materialized[id] && !expand)) return load(this.#viewed(id, chain));
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
