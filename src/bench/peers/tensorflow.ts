/** tfjs as a contender, on its WebAssembly or its WebGL backend. Images are channels-last. */
import { type Shape, sizeOf } from "../../core/shape.js";
import type { Backend, Contender, Work } from "../contender.js";
import { spread, uniform } from "../inputs.js";
import type {
  AttentionProblem,
  ConvProblem,
  ElementwiseProblem,
  MatmulProblem,
  Problem,
  TrainProblem,
} from "../problem.js";
import { causalMask, channelsFirst, channelsLast, filtersLast } from "./layouts.js";
import type { Libraries } from "./libraries.js";
import { openPeerMeter } from "./meter.js";
import { gelu, type Tensorflow, type TfTensor } from "./tensorflow_library.js";
import { tensorflowStep } from "./tensorflow_train.js";
import { initialWeights } from "./weights.js";

/** Size of the tensor whose read-back waits for the queue: tfjs computes smaller ones on the CPU. */
const probeSize = 1024;

/** @throws Error if the backend does not work here. */
export async function openTensorflow(libraries: Libraries, backend: Backend): Promise<Contender> {
  const tf = await libraries.tensorflow();
  const version = libraries.versions.tfjs;
  if (!(await tf.setBackend(backend))) throw new Error(`tfjs has no ${backend} backend here`);
  const meter = await openPeerMeter(backend);
  const probe = tf.tensor(new Float32Array(probeSize), [probeSize]);
  // tfjs has one engine with a global backend setting. Setting an opened backend takes effect at once.
  const begin = () => {
    if (tf.getBackend() !== backend) void tf.setBackend(backend);
  };
  const finish = async () => {
    const last = tf.add(probe, probe);
    last.dataSync();
    last.dispose();
  };
  return {
    device: backend,
    peer: "tfjs",
    description: `tfjs ${version}`,
    details: { version, threads: backend === "wasm" ? tf.getThreadsCount() : 1 },
    meter,
    async build(problem) {
      begin();
      const work = problem.kind === "train" ? await training(tf, problem) : computed(tf, problem);
      return { cost: null, amount: 1, ...work, begin, finish };
    },
    close() {
      meter?.close();
      begin();
      probe.dispose();
    },
  };
}

type OwnWork = Pick<Work, "run" | "result" | "close"> & Partial<Pick<Work, "amount">>;

interface Computation {
  readonly compute: () => TfTensor;
  readonly inputs: readonly TfTensor[];
  /** Converts tfjs's values to the contenders' common layout. */
  readonly arrange?: (data: ArrayLike<number>) => ArrayLike<number>;
  readonly amount?: number;
}

function computed(tf: Tensorflow, problem: Exclude<Problem, TrainProblem>): OwnWork {
  const { compute, inputs, arrange = (data) => data, amount = 1 } = computationOf(tf, problem);
  return {
    amount,
    run() {
      compute().dispose();
      return undefined;
    },
    async result() {
      const y = compute();
      const data = await y.data();
      y.dispose();
      return arrange(data);
    },
    close: () => tf.dispose(inputs),
  };
}

async function training(tf: Tensorflow, { model }: TrainProblem): Promise<OwnWork> {
  const { step, close } = tensorflowStep(tf, model, await initialWeights(model));
  return {
    run() {
      step().dispose();
      return undefined;
    },
    async result() {
      const loss = step();
      const data = await loss.data();
      loss.dispose();
      return data;
    },
    close,
  };
}

/** @throws Error for work without a tfjs operation. */
function computationOf(tf: Tensorflow, problem: Exclude<Problem, TrainProblem>): Computation {
  switch (problem.kind) {
    case "matmul":
      return matmul(tf, problem);
    case "conv":
      return conv(tf, problem);
    case "attention":
      return attention(tf, problem);
    case "elementwise":
      return elementwise(tf, problem);
    case "dispatch": {
      const [x, w] = [0, 1].map(() => tf.tensor(spread(), [4, 4]));
      const chain = () =>
        Array.from({ length: problem.ops }).reduce<TfTensor>((value) => tf.matMul(value, w), x);
      return { compute: () => tf.tidy(chain), inputs: [x, w], amount: problem.ops };
    }
    case "qmatmul":
      throw new Error("tfjs has no products of whole numbers");
  }
}

function random(tf: Tensorflow, shape: Shape, seed: number): TfTensor {
  return tf.tensor(uniform(sizeOf(shape), seed), shape);
}

function matmul(tf: Tensorflow, { batch, m, k, n, transposed }: MatmulProblem): Computation {
  const lead = batch === undefined ? [] : [batch];
  const a = random(tf, [...lead, ...(transposed === "a" ? [k, m] : [m, k])], 1);
  const b = random(tf, [...lead, ...(transposed === "b" ? [n, k] : [k, n])], 2);
  return { compute: () => tf.matMul(a, b, transposed === "a", transposed === "b"), inputs: [a, b] };
}

function conv(tf: Tensorflow, problem: ConvProblem): Computation {
  const { n, c, size, o, kernel, padding, stride = 1, groups = 1, int8 } = problem;
  if (int8) throw new Error("tfjs has no convolutions of whole numbers");
  const isDepthwise = groups === c && groups === o;
  if (groups > 1 && !isDepthwise) throw new Error("tfjs has no convolutions in groups of several channels");
  const image = channelsLast({ shape: [n, c, size, size], data: uniform(n * c * size * size, 1) });
  const shape = [o, c / groups, kernel, kernel];
  const filters = filtersLast({ shape, data: uniform(sizeOf(shape), 2) });
  const x = tf.tensor(image.data, image.shape);
  const w = tf.tensor(filters.data, isDepthwise ? [kernel, kernel, c, 1] : filters.shape);
  return {
    compute: () =>
      isDepthwise ? tf.depthwiseConv2d(x, w, stride, padding) : tf.conv2d(x, w, stride, padding),
    inputs: [x, w],
    arrange: (data) => channelsFirst(data, n, o),
  };
}

/** Composed of other operations: tfjs has no attention. */
function attention(tf: Tensorflow, problem: AttentionProblem): Computation {
  const { n, heads, length, headDim, keys = length, causal } = problem;
  const [q, k, v] = [length, keys, keys].map((rows, i) => random(tf, [n, heads, rows, headDim], i + 1));
  const mask = causal ? tf.tensor(causalMask(length), [length, length]) : undefined;
  const compute = () => {
    const scaled = tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(headDim));
    return tf.matMul(tf.softmax(mask === undefined ? scaled : tf.add(scaled, mask), -1), v);
  };
  return { compute: () => tf.tidy(compute), inputs: [q, k, v, ...(mask === undefined ? [] : [mask])] };
}

function elementwise(tf: Tensorflow, { name, rows, columns }: ElementwiseProblem): Computation {
  const x = random(tf, [rows, columns], 1);
  const second = () => random(tf, [rows, columns], 2);
  switch (name) {
    case "add": {
      const y = second();
      return { compute: () => tf.add(x, y), inputs: [x, y] };
    }
    case "chain": {
      const y = second();
      const chain = () => tf.sub(tf.mul(tf.relu(tf.add(tf.mul(x, y), x)), 0.5), y);
      return { compute: () => tf.tidy(chain), inputs: [x, y] };
    }
    case "gelu":
      return { compute: () => tf.tidy(() => gelu(tf, x)), inputs: [x] };
    case "softmax":
      return { compute: () => tf.softmax(x, -1), inputs: [x] };
  }
}
