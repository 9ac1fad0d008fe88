/**
 * Random programs for the compiler's tests. A recipe is a list of numbers: each step selects an operation and operands among the existing
 * values, so that every recipe and every part of one (for shrinking) is valid. Two families: "exact" recipes compute with small integers
 * only, which are exact in float32 and float64, so that every order of computation gives the same values; "smooth" recipes use
 * differentiable functions, whose results may differ by rounding.
 */
import * as fc from "fast-check";
import type { DType } from "../../src/core/dtype.js";
import type { Shape } from "../../src/core/shape.js";

export type Family = "exact" | "smooth";

export interface LeafRecipe {
  readonly shape: Shape;
  readonly dtype: DType;
}

export interface StepRecipe {
  /** Which of the recipe's operations, modulo their number. */
  readonly operation: number;
  /** Which operands and attributes, each modulo the number of choices. */
  readonly picks: readonly number[];
}

export interface Recipe {
  readonly family: Family;
  /**
   * The few operations that it is made of, each modulo the number of all. Few, so that rare combinations come often
   * in some recipes (swarm testing, Groce et al. 2012).
   */
  readonly operations: readonly number[];
  /** New values at each run. */
  readonly inputs: readonly LeafRecipe[];
  /** Keep their memory from run to run; steps assign to them. */
  readonly parameters: readonly LeafRecipe[];
  readonly steps: readonly StepRecipe[];
  /** Which of the computed tensors are results, modulo their number. */
  readonly outputs: readonly number[];
}

const extent = fc.constantFrom(1, 2, 3, 4, 5);

/** Mostly small and of a common shape, so that operands meet; a few with tails beyond vectors and blocks. */
const shape: fc.Arbitrary<Shape> = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom<Shape>([3, 4], [4], [2, 3, 4], [2, 3, 4], [1, 4], [3, 1], []) },
  { weight: 2, arbitrary: fc.array(extent, { minLength: 0, maxLength: 4 }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom<Shape>([2, 2, 5, 5], [1, 3, 4, 6], [3, 67], [9, 130], [600], [0, 4]),
  },
);

const exactLeaf = fc.record({
  shape,
  dtype: fc.constantFrom<DType>("float32", "float32", "float32", "int32", "int32", "bool", "uint8", "int8"),
});
const smoothLeaf = fc.record({ shape, dtype: fc.constant<DType>("float32") });

/** A leaf, and how many more there are of the same shape and dtype: swaps and rotations need those. */
function leaves(leaf: fc.Arbitrary<LeafRecipe>, maxLength: number): fc.Arbitrary<LeafRecipe[]> {
  return fc
    .array(fc.tuple(leaf, fc.integer({ min: 1, max: 3 })), { minLength: 1, maxLength })
    .map((groups) => groups.flatMap(([one, count]) => Array<LeafRecipe>(count).fill(one)));
}

const pick = fc.nat({ max: 1 << 16 });

/** `maxSteps` steps at most; lengths are spread evenly, where fast-check would prefer short ones. */
export function recipe(family: Family, { maxSteps = 30 } = {}): fc.Arbitrary<Recipe> {
  const leaf = family === "exact" ? exactLeaf : smoothLeaf;
  const step = fc.record({ operation: pick, picks: fc.array(pick, { minLength: 8, maxLength: 8 }) });
  return fc.record({
    family: fc.constant(family),
    operations: fc.array(pick, { minLength: 1, maxLength: 8, size: "max" }),
    inputs: leaves(leaf, 2),
    parameters: leaves(leaf, 3),
    steps: fc.array(step, { minLength: 1, maxLength: maxSteps, size: "max" }),
    outputs: fc.array(pick, { minLength: 1, maxLength: 4, size: "max" }),
  });
}
