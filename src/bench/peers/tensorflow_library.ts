/** Types of the part of tfjs that the contender uses, and operations that tfjs lacks. */

export interface TfTensor {
  readonly shape: readonly number[];
  data(): Promise<ArrayLike<number>>;
  dataSync(): ArrayLike<number>;
  dispose(): void;
}

export interface TfVariable extends TfTensor {
  assign(value: TfTensor): void;
}

type Binary = (a: TfTensor | number, b: TfTensor | number) => TfTensor;
type Unary = (x: TfTensor) => TfTensor;
type Gradients = Readonly<Record<string, TfTensor>>;

/** The used part of tfjs and its WebAssembly backend. */
export interface Tensorflow {
  /** Of its WebAssembly backend, once that runs. */
  getThreadsCount(): number;
  setBackend(name: string): Promise<boolean>;
  getBackend(): string;
  tensor(data: Float32Array, shape: readonly number[]): TfTensor;
  variable(initial: TfTensor): TfVariable;
  tidy(compute: () => TfTensor): TfTensor;
  dispose(tensors: readonly TfTensor[] | Gradients): void;
  matMul(a: TfTensor, b: TfTensor, transposeA?: boolean, transposeB?: boolean): TfTensor;
  conv2d(x: TfTensor, filter: TfTensor, strides: number, pad: number): TfTensor;
  depthwiseConv2d(x: TfTensor, filter: TfTensor, strides: number, pad: number): TfTensor;
  maxPool(x: TfTensor, size: number, strides: number, pad: number): TfTensor;
  readonly add: Binary;
  readonly sub: Binary;
  readonly mul: Binary;
  readonly relu: Unary;
  readonly tanh: Unary;
  readonly rsqrt: Unary;
  softmax(x: TfTensor, dim: number): TfTensor;
  moments(x: TfTensor, axis: number, keepDims: boolean): { mean: TfTensor; variance: TfTensor };
  reshape(x: TfTensor, shape: readonly number[]): TfTensor;
  transpose(x: TfTensor, perm: readonly number[]): TfTensor;
  split(x: TfTensor, parts: number, axis: number): TfTensor[];
  readonly losses: { softmaxCrossEntropy(labels: TfTensor, logits: TfTensor): TfTensor };
  readonly train: {
    adam(
      rate: number,
      beta1: number,
      beta2: number,
      epsilon: number,
    ): {
      computeGradients(
        loss: () => TfTensor,
        variables: readonly TfVariable[],
      ): { value: TfTensor; grads: Gradients };
      applyGradients(gradients: Gradients): void;
      dispose(): void;
    };
  };
}

/** GELU by its tanh approximation; tfjs has no operation for it. */
export function gelu(tf: Tensorflow, x: TfTensor): TfTensor {
  const inner = tf.mul(Math.sqrt(2 / Math.PI), tf.add(x, tf.mul(0.044715, tf.mul(x, tf.mul(x, x)))));
  return tf.mul(tf.mul(0.5, x), tf.add(1, tf.tanh(inner)));
}
