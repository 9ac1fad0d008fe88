/** Random epilogues: a chain of instructions over a kernel's result and operands of several forms. */
import fc from "fast-check";
import type { Shape } from "../../src/core/shape.js";
import type { Epilogue } from "../../src/kernels/epilogue.js";
import type { Instruction, Operand } from "../../src/kernels/kernel.js";
import { input, type Layout, type Leaf, slotOf } from "./layout.js";

const unary = ["relu", "neg", "tanh", "abs"] as const;
const binary = ["add", "mul", "max"] as const;

interface Link {
  readonly op: (typeof unary)[number] | (typeof binary)[number];
  /** The other operand of a binary instruction: a tensor of the output's shape, a row, a column, one number, or the own result. */
  readonly other: "whole" | "row" | "column" | "one" | "own";
}

const link: fc.Arbitrary<Link> = fc.record({
  op: fc.constantFrom(...unary, ...binary, "add" as const, "relu" as const),
  other: fc.constantFrom("whole", "row", "row", "column", "one", "own"),
});

export interface ChosenEpilogue {
  readonly links: readonly Link[];
  readonly layout: Layout;
}

/** Mostly what networks have: a bias and a ReLU come up often. */
export const epilogues = (layout: fc.Arbitrary<Layout>): fc.Arbitrary<ChosenEpilogue> =>
  fc.record({ links: fc.array(link, { maxLength: 4 }), layout });

/**
 * The epilogue over an output of `shape`, whose rows are the elements along dimension `along`. Adds the leaves that it reads, from
 * slot `leaves.length` on.
 */
export function epilogueOf(
  { links, layout }: ChosenEpilogue,
  shape: Shape,
  along: number,
  leaves: Leaf[],
  values: (seed: number) => (i: number) => number,
): Epilogue | undefined {
  if (links.length === 0) return undefined;
  const inputs: Operand[] = [];
  const instructions: Instruction[] = [{ op: "load", dtype: "float32", args: [], index: 0 }];
  const only = {
    whole: () => true,
    row: (d: number) => d === along,
    column: (d: number) => d !== along,
    one: () => false,
  };
  let last = 0;
  for (const { op, other } of links) {
    const args = [last];
    if ((binary as readonly string[]).includes(op)) {
      if (other === "own") args.push(0);
      else {
        const keeps = only[other];
        const leaf = input(
          slotOf(leaves.length),
          shape.map((extent, d) => (keeps(d) ? extent : 1)),
          layout,
          values(10 + leaves.length),
        );
        leaves.push(leaf);
        const { view } = leaf.operand;
        const strides = view.strides.map((stride, d) => (keeps(d) ? stride : 0));
        inputs.push({ ...leaf.operand, view: { ...view, shape, strides } });
        args.push(instructions.push({ op: "load", dtype: "float32", args: [], index: inputs.length }) - 1);
      }
    }
    last = instructions.push({ op, dtype: "float32", args }) - 1;
  }
  return { shape, inputs, expression: { instructions, results: [last] } };
}
