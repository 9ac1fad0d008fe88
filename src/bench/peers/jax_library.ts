/** Types of the part of jax-js that the contender uses, and an attention for it. */
import type { Backend } from "../contender.js";

/** Functions consume the handles of their arguments; `ref` makes another handle. */
export interface JaxArray {
  readonly shape: readonly number[];
  readonly ref: JaxArray;
  add(other: JaxArray | number): JaxArray;
  sub(other: JaxArray | number): JaxArray;
  mul(other: JaxArray | number): JaxArray;
  div(other: JaxArray | number): JaxArray;
  sum(): JaxArray;
  reshape(shape: readonly number[]): JaxArray;
  data(): Promise<ArrayLike<number>>;
  dispose(): void;
}

export type JaxTree = Readonly<Record<string, JaxArray>>;

interface Reduction {
  readonly keepdims?: boolean;
}

type Unary = (x: JaxArray) => JaxArray;

/** The used part of jax-js. */
export interface Jax {
  init(device: Backend): Promise<readonly string[]>;
  defaultDevice(device?: Backend): string;
  jit<Args extends unknown[], Result>(
    compute: (...args: Args) => Result,
  ): ((...args: Args) => Result) & { dispose(): void };
  valueAndGrad<Rest extends unknown[]>(
    compute: (p: JaxTree, ...rest: Rest) => JaxArray,
  ): (p: JaxTree, ...rest: Rest) => [JaxArray, JaxTree];
  blockUntilReady<T>(arrays: T): Promise<T>;
  readonly tree: {
    ref(tree: JaxTree): JaxTree;
    map(compute: Unary, tree: JaxTree): JaxTree;
    dispose(tree: JaxTree): void;
  };
  readonly nn: {
    readonly relu: Unary;
    readonly gelu: Unary;
    softmax(x: JaxArray, axis: number): JaxArray;
    logSoftmax(x: JaxArray, axis: number): JaxArray;
  };
  readonly lax: {
    convGeneralDilated(
      x: JaxArray,
      filters: JaxArray,
      strides: readonly number[],
      padding: readonly (readonly [number, number])[],
      options: { readonly featureGroupCount?: number },
    ): JaxArray;
  };
  readonly numpy: {
    array(data: Float32Array | Int32Array | number): JaxArray;
    matmul(a: JaxArray, b: JaxArray): JaxArray;
    transpose(x: JaxArray, axes: readonly number[]): JaxArray;
    take(x: JaxArray, indices: JaxArray, axis: number): JaxArray;
    split(x: JaxArray, parts: number, axis: number): JaxArray[];
    max(x: JaxArray, axes: readonly number[]): JaxArray;
    mean(x: JaxArray, axis: number, options: Reduction): JaxArray;
    readonly sqrt: Unary;
    readonly square: Unary;
    readonly zerosLike: Unary;
  };
}

/**
 * softmax(q · kᵀ/√D + mask) · v of [N, heads, T, D]. jax-js's own dotProductAttention uses einsum, which needs a Set method of V8 12.2
 * (Node.js 22).
 */
export function attentionOf(
  jax: Jax,
  q: JaxArray,
  k: JaxArray,
  v: JaxArray,
  mask: JaxArray | undefined,
): JaxArray {
  const { numpy: np, nn } = jax;
  const scale = 1 / Math.sqrt(q.shape[3]);
  const scaled = np.matmul(q, np.transpose(k, [0, 1, 3, 2])).mul(scale);
  return np.matmul(nn.softmax(mask === undefined ? scaled : scaled.add(mask), -1), v);
}
