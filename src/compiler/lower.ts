/**
 * Pass 4, lower: turns the scheduled steps into kernel calls over numbered slots. Calls of a step are copied for later steps that differ
 * in their slots only.
 */

import { type Shape, sizeOf } from "../core/shape.js";
import { denseInOrder, isDense, isRowMajor, memoryOrder, rowMajor, type View } from "../core/view.js";
import type { DeviceInfo } from "../device/device.js";
import type { Lowering, ReduceAttributes } from "../graph/op.js";
import type { Epilogue } from "../kernels/epilogue.js";
import { instructionOf } from "../kernels/instructions.js";
import type { Expression, KernelCall, Operand, Program, Provenance } from "../kernels/kernel.js";
import { withSlots } from "../kernels/operands.js";
import { expressionOf } from "./expression.js";
import type { Fusion } from "./fuse.js";
import type { Graph, GraphNode } from "./graph.js";
import { type Copy, copyCall, type LoweredSlot, NodeMemory } from "./node_memory.js";
import type { ProvenanceOf } from "./provenance.js";
import type { Step } from "./schedule.js";
import { StepDescriptions } from "./step_descriptions.js";

export interface Lowered {
  readonly calls: readonly KernelCall[];
  readonly slots: readonly LoweredSlot[];
  readonly leafCount: number;
  /** Per call, the index of the first call that differs in slots only, or its own; see Program.alike. */
  readonly alike: readonly number[];
  readonly provenance?: Program["provenance"];
}

/**
 * The result of lowering a step, reused for steps with an equal description: the layers of a network's blocks, and the updates of
 * parameters of one shape.
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
  /** The result of a materialized node. */
  readonly output: Operand | undefined;
}

export function lower(
  graph: Graph,
  fusion: Fusion,
  steps: readonly Step[],
  info: DeviceInfo,
  provenanceOf?: ProvenanceOf,
): Lowered {
  return new Lowerer(graph, fusion, info).run(steps, provenanceOf);
}

class Lowerer {
  readonly #graph: Graph;
  readonly #fusion: Fusion;
  readonly #info: DeviceInfo;
  readonly #calls: KernelCall[] = [];
  readonly #alike: number[] = [];
  readonly #memory: NodeMemory;
  readonly #steps: StepDescriptions;
  /** Indexed by the number of the description. */
  readonly #templates: (Template | undefined)[] = [];

  constructor(graph: Graph, fusion: Fusion, info: DeviceInfo) {
    this.#graph = graph;
    this.#fusion = fusion;
    this.#info = info;
    this.#steps = new StepDescriptions(graph, fusion);
    this.#memory = new NodeMemory(graph, fusion, this.#steps, this.#calls);
  }

  run(steps: readonly Step[], provenanceOf?: ProvenanceOf): Lowered {
    const copiesBack: KernelCall[] = [];
    const provenance: (Provenance | undefined)[] = [];
    for (const step of steps) {
      this.#lowerStep(step, copiesBack);
      while (this.#alike.length < this.#calls.length) this.#alike.push(this.#alike.length);
      const entry = provenanceOf?.(this.#graph, this.#fusion, step);
      while (provenance.length < this.#calls.length) provenance.push(entry);
    }
    this.#calls.push(...copiesBack);
    const leafCount = this.#graph.leafCount + this.#graph.outputs.length;
    const lowered = { calls: this.#calls, slots: this.#memory.slots, leafCount, alike: this.#alike };
    return provenance.some(Boolean) ? { ...lowered, provenance } : lowered;
  }

  #lowerStep(step: Step, copiesBack: KernelCall[]): void {
    const description = this.#steps.describe(step, this.#memory.direct);
    const template = this.#templates[description];
    if (template !== undefined && this.#repeat(template, step)) return;
    const start = this.#calls.length;
    const firstAdded = this.#memory.slots.length;
    this.#memory.made = [];
    this.#memory.readsCopies = false;
    if (step.kind === "node") this.#lowerNode(step.node);
    else if (step.kind === "store") this.#lowerStore(step.output);
    else copiesBack.push(...this.#lowerUpdate(step.assignments, step.staged));
    if (this.#memory.readsCopies || (step.kind === "update" && step.staged)) return;
    this.#templates[description] = {
      start,
      count: this.#calls.length - start,
      slots: this.#steps.slots,
      firstAdded,
      added: this.#memory.slots.slice(firstAdded),
      copies: this.#memory.made.map(({ path, operand }) => ({
        path: path.map((id) => this.#steps.nodes.indexOf(id)),
        operand,
      })),
      output: step.kind === "node" ? this.#memory.at(step.node) : undefined,
    };
  }

  /** Copies the calls of an earlier step, with the slots of this one; false if a copy that they make exists already. */
  #repeat({ start, count, slots, firstAdded, added, copies, output }: Template, step: Step): boolean {
    const keys = copies.map(({ path }) => path.map((place) => this.#steps.nodes[place]).join(">"));
    if (keys.some((key) => this.#memory.copies.has(key))) return false;
    const now = this.#steps.slots;
    const moved = this.#memory.slots.length - firstAdded;
    for (const slot of added) this.#memory.slots.push(slot);
    const rename = (slot: number): number => (slot >= firstAdded ? slot + moved : now[slots.indexOf(slot)]);
    for (let i = start; i < start + count; i++) {
      this.#alike.push(i);
      this.#calls.push(withSlots(this.#calls[i], rename));
    }
    const renamed = ({ slot, dtype, view }: Operand): Operand => ({ slot: rename(slot), dtype, view });
    copies.forEach(({ operand }, i) => {
      this.#memory.copies.set(keys[i], renamed(operand));
    });
    if (step.kind === "node") this.#memory.place(step.node, renamed(output!));
    return true;
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
        const builder = expressionOf(this.#graph, this.#fusion, this.#memory, [node.inputs[0]]);
        const { shape } = this.#graph.nodes[node.inputs[0]];
        const output = this.#memory.allocate(id, rowMajor(node.shape));
        const { axes } = node.attributes as ReduceAttributes;
        const { inputs, expression } = builder;
        this.#calls.push({ kernel: "reduce", op: op.reduction, shape, axes, inputs, expression, output });
        break;
      }
      default: {
        const { inputs, expression } = expressionOf(this.#graph, this.#fusion, this.#memory, [id], true);
        const output = this.#memory.allocate(id, this.#mapLayout(node.shape, inputs, expression));
        this.#calls.push({ kernel: "map", shape: node.shape, inputs, outputs: [output], expression });
      }
    }
  }

  #lowerStore(output: number): void {
    const id = this.#graph.outputs[output];
    const node = this.#graph.nodes[id];
    const { inputs, expression } = expressionOf(this.#graph, this.#fusion, this.#memory, [id]);
    const slot = this.#graph.leafCount + output;
    const target: Operand = { slot, dtype: node.dtype, view: rowMajor(node.shape) };
    this.#calls.push({ kernel: "map", shape: node.shape, inputs, outputs: [target], expression });
  }

  /** Emits one kernel that stores all values; if it is staged, returns the copies to emit at the end of the Program. */
  #lowerUpdate(assignments: readonly number[], staged: boolean): KernelCall[] {
    const list = assignments.map((i) => this.#graph.assignments[i]);
    const values = list.map(({ value }) => value);
    const { shape } = this.#graph.nodes[values[0]];
    const { inputs, expression } = expressionOf(this.#graph, this.#fusion, this.#memory, values);
    const leaves = list.map(({ leaf, value }) => this.#memory.row(leaf, this.#graph.nodes[value]));
    if (!staged) {
      this.#calls.push({ kernel: "map", shape, inputs, outputs: leaves, expression });
      return [];
    }
    const temporaries = leaves.map(({ dtype }) => this.#memory.temporary(dtype, rowMajor(shape)));
    this.#calls.push({ kernel: "map", shape, inputs, outputs: temporaries, expression });
    return leaves.map((leaf, i) => copyCall(temporaries[i], leaf));
  }

  /** The memory order of a map's result: that of the first dense operand, so that both are accessed linearly. */
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
      input: (i) => this.#memory.operand(node.inputs[i]),
      output: (order) => {
        if (order !== undefined) return this.#memory.allocate(id, denseInOrder(node.shape, order));
        // With an epilogue, `id` is the epilogue's node: the same elements, possibly in another shape.
        const { shape } = this.#graph.nodes[id];
        return { ...this.#memory.allocate(id, rowMajor(shape)), view: rowMajor(node.shape) };
      },
      emit: (call) => {
        const product = this.#fusion.epilogues.get(id);
        if (product === undefined) this.#calls.push(call);
        else this.#calls.push({ ...call, epilogue: this.#epilogue(id, product) } as KernelCall);
      },
    };
  }

  /** The epilogue of node `product`, which computes node `id`. */
  #epilogue(id: number, product: number): Epilogue {
    const { inputs, expression } = expressionOf(this.#graph, this.#fusion, this.#memory, [id], true, product);
    return { shape: this.#graph.nodes[id].shape, inputs: inputs.slice(1), expression };
  }
}
