/** Timed problems as plain data; each contender builds its own computation from the description. */

interface Square {
  readonly m: number;
  readonly k: number;
  readonly n: number;
}

/** a · b of [batch, m, k] and [batch, k, n]; `transposed` names the operand stored transposed. */
export interface MatmulProblem extends Square {
  readonly kind: "matmul";
  readonly batch?: number;
  readonly transposed?: "a" | "b";
}

/** x [m, k] int8 times weights [n, k] of `bits` bits, to float32. */
export interface QmatmulProblem extends Square {
  readonly kind: "qmatmul";
  readonly bits: 8 | 7 | 4;
}

/** Square filters on images [n, c, size, size]; `int8` quantizes both operands. */
export interface ConvProblem {
  readonly kind: "conv";
  readonly n: number;
  readonly c: number;
  readonly size: number;
  readonly o: number;
  readonly kernel: number;
  readonly padding: number;
  readonly stride?: number;
  readonly groups?: number;
  readonly int8?: boolean;
}

/** Scaled dot-product attention of queries [n, heads, length, headDim]. Keys and values: default as many as queries. */
export interface AttentionProblem {
  readonly kind: "attention";
  readonly n: number;
  readonly heads: number;
  readonly length: number;
  readonly headDim: number;
  readonly keys?: number;
  readonly causal: boolean;
}

export type ElementwiseName = "add" | "chain" | "gelu" | "softmax";

/** On float32 [rows, columns]; `chain` is relu(x·y + x)·0.5 − y. */
export interface ElementwiseProblem {
  readonly kind: "elementwise";
  readonly name: ElementwiseName;
  readonly rows: number;
  readonly columns: number;
}

/** A chain of dependent 4 × 4 products: measures the overhead of a kernel call. */
export interface DispatchProblem {
  readonly kind: "dispatch";
  readonly ops: number;
}

export type TrainedModel = "mlp" | "cnn" | "gpt";

/** One training step on a fixed random batch; see workload.ts. */
export interface TrainProblem {
  readonly kind: "train";
  readonly model: TrainedModel;
}

export type Problem =
  | MatmulProblem
  | QmatmulProblem
  | ConvProblem
  | AttentionProblem
  | ElementwiseProblem
  | DispatchProblem
  | TrainProblem;

/** Of the operands. */
export function dtypeOf(problem: Problem): "float32" | "int8" {
  return problem.kind === "qmatmul" || (problem.kind === "conv" && problem.int8) ? "int8" : "float32";
}

export const suiteNames = [
  "gemm",
  "qgemm",
  "gemv",
  "conv",
  "attention",
  "elementwise",
  "dispatch",
  "train",
] as const;
export type SuiteName = (typeof suiteNames)[number];

/** Unit of the rate per second: 1e9 FLOPs or integer operations, 1e9 bytes, runs or kernel calls. */
export type RateUnit = "GFLOP/s" | "GOP/s" | "GB/s" | "steps/s" | "ops/s";

export interface BenchCase {
  readonly suite: SuiteName;
  /** Unique in its suite. */
  readonly name: string;
  /** Part of the suite `quick`. */
  readonly quick: boolean;
  readonly unit: RateUnit;
  readonly problem: Problem;
}
