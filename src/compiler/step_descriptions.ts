/** Finds steps of a schedule whose kernel calls differ in slots only, such as the layers of a network's blocks. */
import type { Operand } from "../kernels/kernel.js";
import type { Fusion } from "./fuse.js";
import type { Graph } from "./graph.js";
import { Interner, numberOfText } from "./interner.js";
import type { Step } from "./schedule.js";

/** First words of descriptions. */
const Kind = { node: 0, product: 1, store: 2, update: 3, stagedUpdate: 4 } as const;

/**
 * Numbers descriptions of steps. A description is the expression tree down to nodes in memory, with everything that lowering depends on
 * except the slots.
 */
export class StepDescriptions {
  /** The nodes of the last description, without duplicates. */
  nodes: number[] = [];
  /** The slots that the described step reads or updates, without duplicates, then the slot of its result. */
  slots: number[] = [];
  readonly #graph: Graph;
  readonly #fusion: Fusion;
  readonly #words = new Interner();
  readonly #layouts = new Interner();
  /** Number of dtype and view, and the slot, of each node in memory. */
  readonly #layoutOf: Int32Array;
  readonly #slotOf: Int32Array;
  /** The description in which a node was last mentioned, and its place in `nodes` then. */
  readonly #described: Int32Array;
  readonly #place: Int32Array;
  #count = 0;

  constructor(graph: Graph, fusion: Fusion) {
    const { length } = graph.nodes;
    this.#graph = graph;
    this.#fusion = fusion;
    this.#layoutOf = new Int32Array(length);
    this.#slotOf = new Int32Array(length);
    this.#described = new Int32Array(length);
    this.#place = new Int32Array(length);
  }

  /** Records the operand of a node. */
  place(id: number, { slot, dtype, view }: Operand): void {
    const layouts = this.#layouts;
    layouts.push(numberOfText(dtype));
    layouts.push(view.offset);
    layouts.pushList(view.shape);
    layouts.pushList(view.strides);
    this.#layoutOf[id] = layouts.intern();
    this.#slotOf[id] = slot;
  }

  /** The number of the step's description. `results` are the nodes whose kernels write a result: node → output. */
  describe(step: Step, results: ReadonlyMap<number, number>): number {
    const { outputs, assignments, leafCount } = this.#graph;
    const words = this.#words;
    this.nodes = [];
    this.slots = [];
    this.#count++;
    if (step.kind === "update") {
      words.push(step.staged ? Kind.stagedUpdate : Kind.update);
      for (const i of step.assignments) {
        const { value, leaf } = assignments[i];
        this.#mention(value, false);
        const place = this.slots.indexOf(leaf);
        words.push(place < 0 ? this.slots.push(leaf) - 1 : place);
      }
    } else if (step.kind === "store") {
      words.push(Kind.store);
      this.#mention(outputs[step.output], false);
      this.slots.push(leafCount + step.output);
    } else {
      const product = this.#fusion.epilogues.get(step.node);
      const output = results.get(step.node);
      words.push(product === undefined ? Kind.node : Kind.product);
      words.push(this.#fusion.inPlace.has(step.node) ? 2 : output === undefined ? 0 : 1);
      this.#mention(step.node, true);
      if (output !== undefined) this.slots.push(leafCount + output);
    }
    return words.intern();
  }

  #mention(id: number, expand: boolean): void {
    const words = this.#words;
    if (this.#described[id] === this.#count) {
      words.push(-2 - this.#place[id]);
      return;
    }
    this.#described[id] = this.#count;
    this.#place[id] = this.nodes.push(id) - 1;
    const { leaf, signature, scalar, inputs } = this.#graph.nodes[id];
    if (leaf >= 0 || (this.#fusion.materialized[id] && !expand)) {
      words.push(-1);
      words.push(this.#layoutOf[id]);
      this.slots.push(this.#slotOf[id]);
      return;
    }
    words.push(signature);
    words.push(scalar);
    words.push(inputs.length);
    for (const input of inputs) this.#mention(input, false);
  }
}
