/** tfjs's side of the training steps, for all its backends, channels-last. */
import { filterLast, isLinear, oneHot, rowsLast, transposed } from "./layouts.mjs";
import { learningRate } from "./workloads.mjs";

const decay = 0.01;

/**
 * The training step of a workload.
 * @param tf the library with its backend chosen.
 * @param key the workload's key, of `workloads`.
 * @param weights a Map of { shape, data } by PyTorch's names, to start from.
 * @returns step(): makes one step and resolves to its loss before the update.
 */
export function tensorflowStep(tf, key, workload, weights) {
  const p = {};
  for (const [name, value] of weights) {
    let own = value;
    if (name === "classifier.0.weight") own = rowsLast(own, 64);
    if (own.shape.length === 4) own = filterLast(own);
    else if (isLinear(name, own)) own = transposed(own);
    p[name] = tf.variable(tf.tensor(own.data, [...own.shape]));
  }

  const linear = (name, x) => tf.add(tf.matMul(x, p[`${name}.weight`]), p[`${name}.bias`]);
  const conv = (name, x) => tf.relu(tf.add(tf.conv2d(x, p[`${name}.weight`], 1, "same"), p[`${name}.bias`]));
  const norm = (name, x) => {
    const { mean, variance } = tf.moments(x, -1, true);
    const scaled = tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, 1e-5)));
    return tf.add(tf.mul(scaled, p[`${name}.weight`]), p[`${name}.bias`]);
  };
  const gelu = (x) => {
    const inner = tf.mul(Math.sqrt(2 / Math.PI), tf.add(x, tf.mul(0.044715, tf.mul(x, tf.mul(x, x)))));
    return tf.mul(tf.mul(0.5, x), tf.add(1, tf.tanh(inner)));
  };
  const blocked = tf.sub(1, tf.linalg.bandPart(tf.ones([128, 128]), -1, 0)).mul(-1e9);
  const block = (name, x) => {
    const flat = tf.reshape(norm(`${name}.ln1`, x), [16 * 128, 128]);
    const qkv = tf.split(tf.matMul(flat, p[`${name}.attn.qkv.weight`]), 3, -1);
    const [q, k, v] = qkv.map((part) => tf.transpose(tf.reshape(part, [16, 128, 4, 32]), [0, 2, 1, 3]));
    const scores = tf.add(tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(32)), blocked);
    const mixed = tf.transpose(tf.matMul(tf.softmax(scores, -1), v), [0, 2, 1, 3]);
    const projected = tf.matMul(tf.reshape(mixed, [16 * 128, 128]), p[`${name}.attn.proj.weight`]);
    const attended = tf.add(x, tf.reshape(projected, [16, 128, 128]));
    const hidden = gelu(linear(`${name}.fc`, tf.reshape(norm(`${name}.ln2`, attended), [16 * 128, 128])));
    return tf.add(attended, tf.reshape(linear(`${name}.proj`, hidden), [16, 128, 128]));
  };
  const models = {
    mlp: (x) => linear("layers.2", tf.relu(linear("layers.1", tf.relu(linear("layers.0", x))))),
    cnn: (x) => {
      const first = tf.maxPool(conv("features.0", x), 2, 2, "valid");
      const second = tf.maxPool(conv("features.3", first), 2, 2, "valid");
      return linear("classifier.3", tf.relu(linear("classifier.0", tf.reshape(second, [64, 3136]))));
    },
    gpt: (x) => {
      let h = tf.add(tf.reshape(tf.matMul(x, p["tok.weight"]), [16, 128, 128]), p["pos.weight"]);
      for (let i = 0; i < 4; i++) h = block(`blocks.${i}`, h);
      return tf.matMul(tf.reshape(norm("norm", h), [16 * 128, 128]), p["head.weight"]);
    },
  };

  const { x, y } = workload.batch;
  // Gather has no gradient on tfjs-wasm (UnsortedSegmentSum is missing), so tokens are one-hot.
  const input = { mlp: x, cnn: { shape: [64, 28, 28, 1], data: x.data }, gpt: oneHot(x.data, 65) }[key];
  const inputs = tf.tensor(input.data, [...input.shape]);
  const labels = oneHot(y.data, key === "gpt" ? 65 : 10);
  const target = tf.tensor(labels.data, labels.shape);
  const adam = tf.train.adam(learningRate, 0.9, 0.999, 1e-8);
  const lossOf = () => tf.losses.softmaxCrossEntropy(target, models[key](inputs));
  return async () => {
    const { value, grads } = adam.computeGradients(lossOf);
    if (workload.optimizer === "AdamW") {
      tf.tidy(() => {
        for (const variable of Object.values(p)) variable.assign(tf.mul(variable, 1 - learningRate * decay));
      });
    }
    adam.applyGradients(grads);
    tf.dispose(grads);
    const [loss] = await value.data();
    value.dispose();
    return loss;
  };
}
