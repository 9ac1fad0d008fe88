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
import { withSlots } from "../device/operands.js";
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
import { Interner, numberOfText } from "./interner.js";
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
  /** Where a materialized node's result lies. */
  readonly output: Operand | undefined;
  readonly layout: number;
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
  /** Row-major copies made because a view could not be expressed, by node and chain. */
  readonly #copies = new Map<string, Operand>();
  /** Results that their node's kernel writes directly: node → output number. */
  readonly #direct = new Map<number, number>();
  /** Numbers of dtypes and views, by node. */
  readonly #layouts: Int32Array;
  readonly #layoutNumbers = new Interner();
  /** Numbers of descriptions of steps; and what lowering them gave. */
  readonly #descriptions = new Interner();
  readonly #templates: (Template | undefined)[] = [];
  /** In which description a node was last mentioned, as which of its nodes. */
  readonly #described: Int32Array;
  readonly #mentions: Int32Array;
  #mentioned = 0;
  /** The nodes in memory that the current step reads: their slots. */
  #read: number[] = [];
  /** Whether the current step reads or makes a copy that other steps share. */
  #usesCopies = false;

  constructor(graph: Graph, fusion: Fusion, info: DeviceInfo) {
    this.#graph = graph;
    this.#fusion = fusion;
    this.#info = info;
    const { nodes } = graph;
    this.#layouts = new Int32Array(nodes.length);
    this.#described = new Int32Array(nodes.length).fill(-1);
    this.#mentions = new Int32Array(nodes.length);
    nodes.forEach((node, id) => {
      if (node.leaf < 0) return;
      this.#slots[node.leaf] = { dtype: node.dtype, size: sizeOf(node.shape) };
      this.#remember(id, this.#row(node.leaf, node));
    });
    graph.outputs.forEach((id, output) => {
      const { dtype, shape } = nodes[id];
      this.#slots.push({ dtype, size: sizeOf(shape) });
      if (fusion.materialized[id] && !this.#direct.has(id)) this.#direct.set(id, output);
    });
  }

  run(steps: readonly Step[]): Lowered {
    const copiesBack: KernelCall[] = [];
    const origins: (string | undefined)[] = [];
    for (const [s, step] of steps.entries()) {
      this.#lowerStep(step, s, copiesBack);
      const scope = this.#scopeOf(step);
      while (origins.length < this.#calls.length) origins.push(scope);
    }
    this.#calls.push(...copiesBack);
    const leafCount = this.#graph.leafCount + this.#graph.outputs.length;
    const lowered = { calls: this.#calls, slots: this.#slots, leafCount, alike: this.#alike };
    return origins.some((scope) => scope !== undefined) ? { ...lowered, origins } : lowered;
  }

  #lowerStep(step: Step, s: number, copiesBack: KernelCall[]): void {
    const description = this.#describe(step, s);
    const template = this.#templates[description];
    if (template !== undefined) {
      this.#repeat(template, step);
      return;
    }
    const start = this.#calls.length;
    const firstAdded = this.#slots.length;
    this.#usesCopies = false;
    if (step.kind === "node") this.#lowerNode(step.node);
    else if (step.kind === "store") this.#lowerStore(step.output);
    else copiesBack.push(...this.#lowerUpdate(step.assignments, step.staged));
    if (this.#usesCopies || (step.kind === "update" && step.staged)) return;
    this.#templates[description] = {
      start,
      count: this.#calls.length - start,
      slots: this.#read,
      firstAdded,
      added: this.#slots.slice(firstAdded),
      output: step.kind === "node" ? this.#memory[step.node] : undefined,
      layout: step.kind === "node" ? this.#layouts[step.node] : -1,
    };
  }

  /** The calls of an earlier step, over the slots of this one. */
  #repeat({ start, count, slots, firstAdded, added, output, layout }: Template, step: Step): void {
    const read = this.#read;
    const moved = this.#slots.length - firstAdded;
    for (const slot of added) this.#slots.push(slot);
    const rename = (slot: number): number => (slot >= firstAdded ? slot + moved : read[slots.indexOf(slot)]);
    for (let i = start; i < start + count; i++) {
      const call = withSlots(this.#calls[i], rename);
      this.#calls.push(call);
      this.#alike.set(call, this.#calls[i]);
    }
    if (step.kind === "node") {
      const { slot, dtype, view } = output!;
      this.#memory[step.node] = { slot: rename(slot), dtype, view };
      this.#layouts[step.node] = layout;
    }
  }

  /**
   * The number of a description of everything that the calls of a step depend on, except for the slots: those of nodes
   * in memory are left in `#read`, each once, the step's result behind them.
   */
  #describe(step: Step, s: number): number {
    const { outputs, assignments, leafCount } = this.#graph;
    const words = this.#descriptions;
    this.#read = [];
    this.#mentioned = 0;
    if (step.kind === "update") {
      words.push(step.staged ? 3 : 2);
      for (const i of step.assignments) {
        const { value, leaf } = assignments[i];
        this.#describeNode(value, s, false);
        words.push(this.#mentionSlot(leaf));
      }
    } else if (step.kind === "store") {
      words.push(1);
      this.#describeNode(outputs[step.output], s, false);
      this.#read.push(leafCount + step.output);
    } else {
      const product = this.#fusion.epilogues.get(step.node);
      const output = this.#direct.get(step.node);
      words.push(product === undefined ? 4 : 5);
      words.push(output === undefined ? 0 : 1);
      this.#describeNode(product ?? step.node, s, true);
      if (output !== undefined) this.#read.push(leafCount + output);
    }
    return words.intern();
  }

  #describeNode(id: number, s: number, expand: boolean): void {
    const words = this.#descriptions;
    if (this.#described[id] === s) {
      words.push(-2 - this.#mentions[id]);
      return;
    }
    this.#described[id] = s;
    this.#mentions[id] = this.#mentioned++;
    const { leaf, signature, scalar, inputs } = this.#graph.nodes[id];
    if (leaf >= 0 || (this.#fusion.materialized[id] && !expand)) {
      words.push(-1);
      words.push(this.#layouts[id]);
      this.#read.push(this.#memory[id]!.slot);
      return;
    }
    words.push(signature);
    words.push(scalar);
    words.push(inputs.length);
    for (const input of inputs) this.#describeNode(input, s, false);
  }

  /** Which of the slots in `#read` it is; it is added if it is none. */
  #mentionSlot(slot: number): number {
    const place = this.#read.indexOf(slot);
    return place < 0 ? this.#read.push(slot) - 1 : place;
  }

  #remember(id: number, operand: Operand): void {
    const numbers = this.#layoutNumbers;
    numbers.push(numberOfText(operand.dtype));
    numbers.push(operand.view.offset);
    numbers.pushList(operand.view.shape);
    numbers.pushList(operand.view.strides);
    this.#memory[id] = operand;
    this.#layouts[id] = numbers.intern();
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
    this.#remember(id, operand);
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
    const key = `source ${base}`;
    this.#usesCopies = true;
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
  #viewed(base: number, chain: Chain | undefined): Operand {
    let operand = this.#memory[base]!;
    let key = `${base}`;
    for (let link = chain; link !== undefined; link = link.outer) {
      const { op, attributes } = this.#graph.nodes[link.view];
      let view = (op as ViewOp).apply(operand.view, attributes);
      if (view === null) {
        this.#usesCopies = true;
        let copy = this.#copies.get(key);
        if (copy === undefined) {
          copy = this.#temporary(operand.dtype, rowMajor(operand.view.shape));
          this.#calls.push(copyCall(operand, copy));
          this.#copies.set(key, copy);
        }
        operand = copy;
        view = (op as ViewOp).apply(operand.view, attributes)!;
      }
      operand = { slot: operand.slot, dtype: operand.dtype, view };
      key += `>${link.view}`;
    }
    return operand;
  }

  /** The fused expression that computes `roots`; `inside` expands the first root although it is materialized. */
  #expression(roots: readonly number[], inside = false): Pick<MapCall, "inputs" | "expression"> {
    const inputs: Operand[] = [];
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

/** Kernels with an epilogue. */
function takesActivation(call: KernelCall): call is MatmulCall | QmatmulCall | QconvCall {
  return call.kernel === "matmul" || call.kernel === "qmatmul" || call.kernel === "qconv";
}
