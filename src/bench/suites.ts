/** The cases: products, convolutions, attention, elementwise work, dispatch, and whole training steps, as data. */
import type {
  BenchCase,
  ConvProblem,
  ElementwiseProblem,
  Problem,
  SuiteName,
  TrainedModel,
} from "./problem.js";

interface CaseOptions {
  readonly quick?: boolean;
}

function product(
  suite: "gemm" | "gemv",
  [m, k, n]: readonly [number, number, number],
  { quick = false, transposed }: CaseOptions & { readonly transposed?: "a" | "b" } = {},
): BenchCase {
  const side = { a: ", Aᵀ · B", b: ", A · Bᵀ" };
  return {
    suite,
    name: `${m} × ${k} · ${k} × ${n}${transposed ? side[transposed] : ""}`,
    quick,
    unit: suite === "gemm" ? "GFLOP/s" : "GB/s",
    problem: { kind: "matmul", m, k, n, ...(transposed && { transposed }) },
  };
}

function quantized(
  suite: "qgemm" | "gemv",
  [m, k, n]: readonly [number, number, number],
  bits: 8 | 7 | 4,
  { quick = false }: CaseOptions = {},
): BenchCase {
  return {
    suite,
    name: `${m} × ${k} · ${k} × ${n}, int8 · int${bits}`,
    quick,
    unit: suite === "qgemm" ? "GOP/s" : "GB/s",
    problem: { kind: "qmatmul", m, k, n, bits },
  };
}

function conv(shape: Omit<ConvProblem, "kind">, { quick = false }: CaseOptions = {}): BenchCase {
  const { n, c, o, size, kernel, stride = 1, groups = 1, int8 = false } = shape;
  const extras = [
    stride > 1 ? `stride ${stride}` : "",
    groups > 1 ? `${groups} groups` : "",
    int8 ? "int8" : "",
  ].filter(Boolean);
  return {
    suite: "conv",
    name: [`${n} × ${c}→${o}, ${kernel} × ${kernel} on ${size} × ${size}`, ...extras].join(", "),
    quick,
    unit: int8 ? "GOP/s" : "GFLOP/s",
    problem: { kind: "conv", ...shape },
  };
}

function attention(
  [n, heads, length, headDim]: readonly [number, number, number, number],
  {
    quick = false,
    causal = true,
    keys,
  }: CaseOptions & { readonly causal?: boolean; readonly keys?: number } = {},
): BenchCase {
  const extras = [causal ? "causal" : "", keys ? `${keys} keys` : ""].filter(Boolean);
  return {
    suite: "attention",
    name: [`${n} × ${heads} heads × ${length} × ${headDim}`, ...extras].join(", "),
    quick,
    unit: "GFLOP/s",
    problem: { kind: "attention", n, heads, length, headDim, causal, ...(keys && { keys }) },
  };
}

const formulas: Readonly<Record<ElementwiseProblem["name"], string>> = {
  add: "x + y",
  chain: "relu(x·y + x)/2 − y",
  gelu: "GELU",
  softmax: "softmax",
};

function elementwise(name: ElementwiseProblem["name"], { quick = false }: CaseOptions = {}): BenchCase {
  const problem: Problem = { kind: "elementwise", name, rows: 1024, columns: 1024 };
  return { suite: "elementwise", name: `${formulas[name]} of 1024 × 1024`, quick, unit: "GB/s", problem };
}

function train(name: string, model: TrainedModel, { quick = false }: CaseOptions = {}): BenchCase {
  return { suite: "train", name, quick, unit: "steps/s", problem: { kind: "train", model } };
}

const dispatches = 64;
const conv3x3 = { n: 1, c: 64, o: 64, size: 56, kernel: 3, padding: 1 } as const;

export const cases: readonly BenchCase[] = [
  product("gemm", [256, 256, 256], { quick: true }),
  product("gemm", [512, 512, 512], { quick: true }),
  product("gemm", [1024, 1024, 1024]),
  product("gemm", [128, 768, 3072]),
  product("gemm", [512, 512, 512], { transposed: "a" }),
  product("gemm", [512, 512, 512], { transposed: "b" }),
  {
    suite: "gemm",
    name: "64 of 128 × 32 · 32 × 128",
    quick: false,
    unit: "GFLOP/s",
    problem: { kind: "matmul", batch: 64, m: 128, k: 32, n: 128 },
  },
  quantized("qgemm", [512, 512, 512], 8, { quick: true }),
  quantized("qgemm", [512, 512, 512], 7, { quick: true }),
  quantized("qgemm", [1024, 1024, 1024], 8),
  quantized("qgemm", [1024, 1024, 1024], 7),
  quantized("qgemm", [128, 768, 3072], 8),
  quantized("qgemm", [128, 768, 3072], 4),
  product("gemv", [1, 1024, 1024], { quick: true }),
  product("gemv", [1, 4096, 4096]),
  quantized("gemv", [1, 1024, 1024], 8, { quick: true }),
  quantized("gemv", [1, 4096, 4096], 8),
  quantized("gemv", [1, 4096, 4096], 7),
  quantized("gemv", [1, 4096, 4096], 4),
  conv(conv3x3, { quick: true }),
  conv({ ...conv3x3, int8: true }, { quick: true }),
  conv({ n: 1, c: 64, o: 256, size: 56, kernel: 1, padding: 0 }),
  conv({ n: 1, c: 32, o: 32, size: 112, kernel: 3, padding: 1, groups: 32 }),
  conv({ n: 1, c: 3, o: 64, size: 224, kernel: 7, padding: 3, stride: 2 }),
  attention([16, 4, 128, 32], { quick: true }),
  attention([1, 12, 128, 64], { causal: false }),
  attention([1, 4, 512, 32]),
  attention([1, 12, 1, 64], { causal: false, keys: 1024 }),
  elementwise("add"),
  elementwise("chain", { quick: true }),
  elementwise("gelu"),
  elementwise("softmax"),
  {
    suite: "dispatch",
    name: `${dispatches} products of 4 × 4`,
    quick: true,
    unit: "ops/s",
    problem: { kind: "dispatch", ops: dispatches },
  },
  train("MLP", "mlp", { quick: true }),
  train("CNN", "cnn"),
  train("char-GPT", "gpt"),
];

/** The cases of some suites; `quick` and `all` are suites of all kinds. */
export function casesOf(suites: readonly (SuiteName | "quick" | "all")[]): BenchCase[] {
  return cases.filter(
    ({ suite, quick }) =>
      suites.includes("all") || suites.includes(suite) || (quick && suites.includes("quick")),
  );
}
