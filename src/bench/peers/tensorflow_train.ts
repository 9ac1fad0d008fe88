/** The training steps in tfjs: the models of wattgrad's workloads from the same weights. */
import type { TrainedModel } from "../problem.js";
import { learningRate, workloads } from "../workload.js";
import { causalMask, columnsLast, filtersLast, type HostArray, oneHot, transposed } from "./layouts.js";
import { gelu, type Tensorflow, type TfTensor, type TfVariable } from "./tensorflow_library.js";
import { classesOf, isLinear } from "./weights.js";

/** AdamW's weight decay, applied separately because tfjs has Adam only. */
const weightDecay = 0.01;
/** Of Adam, as wattgrad has them. */
const [beta1, beta2, epsilon] = [0.9, 0.999, 1e-8];
/** Of layer normalization. */
const normEpsilon = 1e-5;
/** char-GPT's sizes. */
const [batch, length, width, heads, blocks] = [16, 128, 128, 4, 4];

export interface TfStep {
  /** Performs a step; returns the loss before the update. */
  step(): TfTensor;
  close(): void;
}

type Parameters = Readonly<Record<string, TfVariable>>;
type Forward = (tf: Tensorflow, p: Parameters, x: TfTensor, mask: TfTensor) => TfTensor;

const models: Readonly<Record<TrainedModel, Forward>> = {
  mlp: (tf, p, x) =>
    linear(tf, p, "layers.2", tf.relu(linear(tf, p, "layers.1", tf.relu(linear(tf, p, "layers.0", x))))),
  cnn(tf, p, x) {
    const conv = (name: string, input: TfTensor) =>
      tf.relu(tf.add(tf.conv2d(input, p[`${name}.weight`], 1, 2), p[`${name}.bias`]));
    const pool = (input: TfTensor) => tf.maxPool(input, 2, 2, 0);
    const features = pool(conv("features.3", pool(conv("features.0", x))));
    const flat = tf.reshape(features, [64, 3136]);
    return linear(tf, p, "classifier.3", tf.relu(linear(tf, p, "classifier.0", flat)));
  },
  gpt(tf, p, x, mask) {
    const embedded = tf.reshape(tf.matMul(x, p["tok.weight"]), [batch, length, width]);
    let h = tf.add(embedded, p["pos.weight"]);
    for (let i = 0; i < blocks; i++) h = block(tf, p, `blocks.${i}`, h, mask);
    return tf.matMul(flattened(tf, norm(tf, p, "norm", h)), p["head.weight"]);
  },
};

function linear(tf: Tensorflow, p: Parameters, name: string, x: TfTensor): TfTensor {
  return tf.add(tf.matMul(x, p[`${name}.weight`]), p[`${name}.bias`]);
}

function norm(tf: Tensorflow, p: Parameters, name: string, x: TfTensor): TfTensor {
  const { mean, variance } = tf.moments(x, -1, true);
  const scaled = tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, normEpsilon)));
  return tf.add(tf.mul(scaled, p[`${name}.weight`]), p[`${name}.bias`]);
}

function flattened(tf: Tensorflow, x: TfTensor): TfTensor {
  return tf.reshape(x, [batch * length, width]);
}

function block(tf: Tensorflow, p: Parameters, name: string, x: TfTensor, mask: TfTensor): TfTensor {
  const headDim = width / heads;
  const qkv = tf.matMul(flattened(tf, norm(tf, p, `${name}.ln1`, x)), p[`${name}.attn.qkv.weight`]);
  const [q, k, v] = tf
    .split(qkv, 3, -1)
    .map((part) => tf.transpose(tf.reshape(part, [batch, length, heads, headDim]), [0, 2, 1, 3]));
  const scores = tf.add(tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(headDim)), mask);
  const mixed = tf.transpose(tf.matMul(tf.softmax(scores, -1), v), [0, 2, 1, 3]);
  const projected = tf.matMul(flattened(tf, mixed), p[`${name}.attn.proj.weight`]);
  const attended = tf.add(x, tf.reshape(projected, [batch, length, width]));
  const hidden = gelu(tf, linear(tf, p, `${name}.fc`, flattened(tf, norm(tf, p, `${name}.ln2`, attended))));
  return tf.add(attended, tf.reshape(linear(tf, p, `${name}.proj`, hidden), [batch, length, width]));
}

/** Training inputs for tfjs: images channels-last, tokens one-hot (gather has no gradient on its wasm backend). */
function inputsOf(model: TrainedModel): HostArray {
  const { x } = workloads[model].batch();
  if (model === "gpt") return oneHot(x.data as Int32Array, classesOf.gpt);
  const data = x.data as Float32Array;
  return { shape: model === "cnn" ? [64, 28, 28, 1] : x.shape, data };
}

function inLayout(name: string, weight: HostArray): HostArray {
  if (weight.shape.length === 4) return filtersLast(weight);
  if (!isLinear(name, weight)) return weight;
  return transposed(name === "classifier.0.weight" ? columnsLast(weight, 64) : weight);
}

/** The training step of a workload, from these weights. */
export function tensorflowStep(
  tf: Tensorflow,
  model: TrainedModel,
  weights: ReadonlyMap<string, HostArray>,
): TfStep {
  const tensor = ({ data, shape }: HostArray) => tf.tensor(data, shape);
  const p: Record<string, TfVariable> = {};
  for (const [name, weight] of weights) {
    const initial = tensor(inLayout(name, weight));
    p[name] = tf.variable(initial);
    initial.dispose();
  }
  const parameters = Object.values(p);
  const inputs = tensor(inputsOf(model));
  const labels = tensor(oneHot(workloads[model].batch().y.data, classesOf[model]));
  const mask = tf.tensor(causalMask(length), [length, length]);
  const adam = tf.train.adam(learningRate, beta1, beta2, epsilon);
  const loss = () => tf.losses.softmaxCrossEntropy(labels, models[model](tf, p, inputs, mask));
  return {
    step() {
      const { value, grads } = adam.computeGradients(loss, parameters);
      if (workloads[model].optimizer === "AdamW") decay(tf, parameters);
      adam.applyGradients(grads);
      tf.dispose(grads);
      return value;
    },
    close() {
      adam.dispose();
      tf.dispose([...parameters, inputs, labels, mask]);
    },
  };
}

function decay(tf: Tensorflow, parameters: readonly TfVariable[]): void {
  for (const parameter of parameters) {
    const decayed = tf.mul(parameter, 1 - learningRate * weightDecay);
    parameter.assign(decayed);
    decayed.dispose();
  }
}
