/** jax-js's side of train.mjs: the whole step, Adam included, in one jit. Variant: "one-hot" (embedding), "products" (attention), both or none. */
import { serve } from "./contender.mjs";
import { isLinear, oneHot, transposed } from "./layouts.mjs";
import { openJax } from "./peers.mjs";
import { learningRate } from "./workloads.mjs";

const [beta1, beta2, eps, decay] = [0.9, 0.999, 1e-8, 0.01];

await serve(async (key, workload, weights, variant = "") => {
  const { jit, nn, lax, tree, valueAndGrad, numpy: np } = await openJax();
  const array = ({ shape, data }) => np.array(data).reshape([...shape]);

  /** Cross-entropy of logits [N, C] with one-hot labels. */
  const crossEntropy = (logits, labels) =>
    nn
      .logSoftmax(logits, -1)
      .mul(labels)
      .sum()
      .mul(-1 / logits.shape[0]);
  const linear = (p, name, x) => np.matmul(x, p[`${name}.weight`]).add(p[`${name}.bias`]);
  const maxPool = (x) => {
    const [n, c, h, w] = x.shape;
    return np.max(x.reshape([n, c, h / 2, 2, w / 2, 2]), [3, 5]);
  };
  const conv = (p, name, x) =>
    lax
      .conv(
        x,
        p[`${name}.weight`],
        [1, 1],
        [
          [2, 2],
          [2, 2],
        ],
      )
      .add(p[`${name}.bias`].reshape([1, -1, 1, 1]));
  const layerNorm = (p, name, x) => {
    const centred = x.ref.sub(np.mean(x, -1, { keepdims: true }));
    const variance = np.mean(np.square(centred.ref), -1, { keepdims: true });
    return centred
      .div(np.sqrt(variance.add(1e-5)))
      .mul(p[`${name}.weight`])
      .add(p[`${name}.bias`]);
  };
  const blocked = np.triu(np.ones([128, 128]), 1).mul(-1e9);
  /** q, k, v [N, T, heads, D]; "products" writes out what dotProductAttention does by einsum, for engines before V8 12.2. */
  const attention = (q, k, v) => {
    if (!variant.includes("products")) return nn.dotProductAttention(q, k, v, { isCausal: true });
    const [rows, columns, values] = [
      [0, 2, 1, 3],
      [0, 2, 3, 1],
      [0, 2, 1, 3],
    ].map((dims, i) => np.transpose([q, k, v][i], dims));
    const scores = np
      .matmul(rows, columns)
      .mul(1 / Math.sqrt(32))
      .add(blocked.ref);
    return np.transpose(np.matmul(nn.softmax(scores, -1), values), [0, 2, 1, 3]);
  };
  const block = (p, name, x) => {
    const qkv = np.matmul(layerNorm(p, `${name}.ln1`, x.ref), p[`${name}.attn.qkv.weight`]);
    const parts = np.split(qkv, 3, -1).map((part) => part.reshape([16, 128, 4, 32]));
    const mixed = attention(...parts).reshape([16, 128, 128]);
    const attended = x.add(np.matmul(mixed, p[`${name}.attn.proj.weight`]));
    const hidden = nn.gelu(linear(p, `${name}.fc`, layerNorm(p, `${name}.ln2`, attended.ref)));
    return attended.add(linear(p, `${name}.proj`, hidden));
  };
  const models = {
    mlp: (p, x) => linear(p, "layers.2", nn.relu(linear(p, "layers.1", nn.relu(linear(p, "layers.0", x))))),
    cnn: (p, x) => {
      const first = maxPool(nn.relu(conv(p, "features.0", x)));
      const second = maxPool(nn.relu(conv(p, "features.3", first)));
      const hidden = nn.relu(linear(p, "classifier.0", second.reshape([64, 3136])));
      return linear(p, "classifier.3", hidden);
    },
    gpt: (p, x) => {
      const embedded = variant.includes("one-hot")
        ? np.matmul(x, p["tok.weight"])
        : np.take(p["tok.weight"], x, 0);
      let h = embedded.reshape([16, 128, 128]).add(p["pos.weight"]);
      for (let i = 0; i < 4; i++) h = block(p, `blocks.${i}`, h);
      return np.matmul(layerNorm(p, "norm", h), p["head.weight"]).reshape([16 * 128, 65]);
    },
  };

  const names = [...weights.keys()];
  const start = Object.fromEntries(
    names.map((name) => {
      const value = weights.get(name);
      return [name, array(isLinear(name, value) ? transposed(value) : value)];
    }),
  );
  const lossOf = (p, x, labels) => crossEntropy(models[key](p, x), labels);
  const decoupled = workload.optimizer === "AdamW";
  const update = jit((p, m, v, stepSize, rootCorrection, x, labels) => {
    const [loss, g] = valueAndGrad(lossOf)(tree.ref(p), x, labels);
    const [newP, newM, newV] = [{}, {}, {}];
    for (const name of names) {
      const mean = m[name].mul(beta1).add(g[name].ref.mul(1 - beta1));
      const square = v[name].mul(beta2).add(np.square(g[name]).mul(1 - beta2));
      const change = mean.ref.mul(stepSize.ref).div(np.sqrt(square.ref).mul(rootCorrection.ref).add(eps));
      const kept = decoupled ? p[name].mul(1 - learningRate * decay) : p[name];
      newP[name] = kept.sub(change);
      newM[name] = mean;
      newV[name] = square;
    }
    return [loss, newP, newM, newV];
  });

  const { x, y } = workload.batch;
  const flat = { shape: [y.data.length], data: x.data };
  const inputs = key !== "gpt" ? array(x) : array(variant.includes("one-hot") ? oneHot(x.data, 65) : flat);
  const labels = array(oneHot(y.data, key === "gpt" ? 65 : 10));
  let [p, m, v] = [start, tree.map(np.zerosLike, tree.ref(start)), tree.map(np.zerosLike, tree.ref(start))];
  let t = 0;
  return async () => {
    t++;
    const scalars = [learningRate / (1 - beta1 ** t), 1 / Math.sqrt(1 - beta2 ** t)].map((s) => np.array(s));
    let loss;
    [loss, p, m, v] = update(p, m, v, ...scalars, inputs.ref, labels.ref);
    return (await loss.data())[0];
  };
});
