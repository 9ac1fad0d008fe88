/** jax-js's side of the training steps: loss, gradients and Adam in one jit, from the same weights. */
import type { TrainedModel } from "../problem.js";
import { learningRate, workloads } from "../workload.js";
import { attentionOf, type Jax, type JaxArray, type JaxTree } from "./jax_library.js";
import { causalMask, type HostArray, oneHot, transposed } from "./layouts.js";
import { classesOf, isLinear } from "./weights.js";

/** AdamW's. */
const weightDecay = 0.01;
/** Of Adam, as wattgrad has them. */
const [beta1, beta2, epsilon] = [0.9, 0.999, 1e-8];
/** Of layer normalization. */
const normEpsilon = 1e-5;
/** char-GPT's sizes. */
const [batch, length, width, heads, blocks] = [16, 128, 128, 4, 4];

export interface JaxStep {
  /** Performs a step and awaits it; returns the loss before the update. */
  step(): Promise<JaxArray>;
  close(): void;
}

type Forward = (jax: Jax, p: JaxTree, x: JaxArray, mask: JaxArray) => JaxArray;

const models: Readonly<Record<TrainedModel, Forward>> = {
  mlp({ nn, numpy }, p, x, mask) {
    mask.dispose();
    const hidden = nn.relu(linear(numpy, p, "layers.0", x));
    return linear(numpy, p, "layers.2", nn.relu(linear(numpy, p, "layers.1", hidden)));
  },
  cnn(jax, p, x, mask) {
    mask.dispose();
    const { nn, numpy } = jax;
    const features = layer(jax, p, "features.3", layer(jax, p, "features.0", x));
    const hidden = nn.relu(linear(numpy, p, "classifier.0", features.reshape([64, 3136])));
    return linear(numpy, p, "classifier.3", hidden);
  },
  gpt(jax, p, x, mask) {
    const { numpy: np } = jax;
    const embedded = np.take(p["tok.weight"], x, 0).reshape([batch, length, width]);
    let h = embedded.add(p["pos.weight"]);
    for (let i = 0; i < blocks; i++) h = block(jax, p, `blocks.${i}`, h, mask.ref);
    mask.dispose();
    return np.matmul(norm(np, p, "norm", h), p["head.weight"]).reshape([batch * length, classesOf.gpt]);
  },
};

function linear(np: Jax["numpy"], p: JaxTree, name: string, x: JaxArray): JaxArray {
  return np.matmul(x, p[`${name}.weight`]).add(p[`${name}.bias`]);
}

/** Convolution of 5 × 5, ReLU and max-pooling of 2 × 2. */
function layer({ lax, nn, numpy }: Jax, p: JaxTree, name: string, x: JaxArray): JaxArray {
  const pads = [
    [2, 2],
    [2, 2],
  ] as const;
  const sums = lax.convGeneralDilated(x, p[`${name}.weight`], [1, 1], pads, {});
  const active = nn.relu(sums.add(p[`${name}.bias`].reshape([1, -1, 1, 1])));
  const [n, c, h, w] = active.shape;
  return numpy.max(active.reshape([n, c, h / 2, 2, w / 2, 2]), [3, 5]);
}

function norm(np: Jax["numpy"], p: JaxTree, name: string, x: JaxArray): JaxArray {
  const centred = x.ref.sub(np.mean(x, -1, { keepdims: true }));
  const variance = np.mean(np.square(centred.ref), -1, { keepdims: true });
  const scaled = centred.div(np.sqrt(variance.add(normEpsilon)));
  return scaled.mul(p[`${name}.weight`]).add(p[`${name}.bias`]);
}

function block(jax: Jax, p: JaxTree, name: string, x: JaxArray, mask: JaxArray): JaxArray {
  const { nn, numpy: np } = jax;
  const qkv = np.matmul(norm(np, p, `${name}.ln1`, x.ref), p[`${name}.attn.qkv.weight`]);
  const [q, k, v] = np
    .split(qkv, 3, -1)
    .map((part) => np.transpose(part.reshape([batch, length, heads, width / heads]), [0, 2, 1, 3]));
  const mixed = np.transpose(attentionOf(jax, q, k, v, mask), [0, 2, 1, 3]).reshape([batch, length, width]);
  const attended = x.add(np.matmul(mixed, p[`${name}.attn.proj.weight`]));
  const hidden = nn.gelu(linear(np, p, `${name}.fc`, norm(np, p, `${name}.ln2`, attended.ref)));
  return attended.add(linear(np, p, `${name}.proj`, hidden));
}

/** The training step of a workload, from these weights. */
export function jaxStep(jax: Jax, model: TrainedModel, weights: ReadonlyMap<string, HostArray>): JaxStep {
  const { numpy: np, tree } = jax;
  const array = ({ shape, data }: HostArray | HostArray<Int32Array>) => np.array(data).reshape([...shape]);
  const initial: Record<string, JaxArray> = {};
  for (const [name, weight] of weights) {
    initial[name] = array(isLinear(name, weight) ? transposed(weight) : weight);
  }
  const { x, y } = workloads[model].batch();
  const flat = { shape: model === "gpt" ? [x.data.length] : x.shape, data: x.data } as HostArray;
  const inputs = array(flat);
  const labels = array(oneHot(y.data, classesOf[model]));
  const mask = array({ shape: [length, length], data: causalMask(length) });
  const update = jax.jit(updateOf(jax, model));
  let [p, m, v] = [
    initial,
    tree.map(np.zerosLike, tree.ref(initial)),
    tree.map(np.zerosLike, tree.ref(initial)),
  ];
  let count = 0;
  return {
    async step() {
      count++;
      const stepSize = np.array(learningRate / (1 - beta1 ** count));
      const rootCorrection = np.array(1 / Math.sqrt(1 - beta2 ** count));
      let loss: JaxArray;
      [loss, p, m, v] = update(p, m, v, stepSize, rootCorrection, inputs.ref, labels.ref, mask.ref);
      await jax.blockUntilReady([loss, p, m, v]);
      return loss;
    },
    close() {
      update.dispose();
      for (const each of [p, m, v]) tree.dispose(each);
      for (const each of [inputs, labels, mask]) each.dispose();
    },
  };
}

type State = [loss: JaxArray, parameters: JaxTree, means: JaxTree, squares: JaxTree];

/** Adam, with the decay of AdamW where the workload has that. */
function updateOf(jax: Jax, model: TrainedModel) {
  const { nn, numpy: np, tree, valueAndGrad } = jax;
  const decayFactor = workloads[model].optimizer === "AdamW" ? 1 - learningRate * weightDecay : 1;
  const lossOf = (p: JaxTree, x: JaxArray, labels: JaxArray, mask: JaxArray) => {
    const logits = models[model](jax, p, x, mask);
    const [rows] = logits.shape;
    return nn
      .logSoftmax(logits, -1)
      .mul(labels)
      .sum()
      .mul(-1 / rows);
  };
  return (
    p: JaxTree,
    m: JaxTree,
    v: JaxTree,
    stepSize: JaxArray,
    rootCorrection: JaxArray,
    x: JaxArray,
    labels: JaxArray,
    mask: JaxArray,
  ): State => {
    const [loss, gradients] = valueAndGrad(lossOf)(tree.ref(p), x, labels, mask);
    const [parameters, means, squares]: Record<string, JaxArray>[] = [{}, {}, {}];
    for (const [name, parameter] of Object.entries(p)) {
      const gradient = gradients[name];
      means[name] = m[name].mul(beta1).add(gradient.ref.mul(1 - beta1));
      squares[name] = v[name].mul(beta2).add(np.square(gradient).mul(1 - beta2));
      const root = np.sqrt(squares[name].ref).mul(rootCorrection.ref).add(epsilon);
      const change = means[name].ref.mul(stepSize.ref).div(root);
      parameters[name] = (decayFactor === 1 ? parameter : parameter.mul(decayFactor)).sub(change);
    }
    return [loss, parameters, means, squares];
  };
}
