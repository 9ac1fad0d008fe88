/**
 * The training steps that are compared: an MLP, a CNN and a small GPT over characters, with fixed random data.
 * `ours` builds wattgrad's side; peers build theirs from the same weights and batches.
 */

/** Mulberry32: the same numbers in every process, so that figures of different runs belong together. */
export function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Standard normal values (Box and Muller). */
export function normal(size, seed) {
  const uniform = generator(seed);
  return Float32Array.from(
    { length: size },
    () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
  );
}

function integers(size, below, seed) {
  const uniform = generator(seed);
  return Int32Array.from({ length: size }, () => Math.floor(uniform() * below));
}

/** 784-256-128-10, ReLU, batch 64, cross-entropy, Adam. */
const mlp = {
  name: "MLP",
  batch: {
    x: { shape: [64, 784], data: normal(64 * 784, 1) },
    y: { shape: [64], data: integers(64, 10, 2) },
  },
  optimizer: "Adam",
  create: ({ models }, device) => new models.Mlp({ device }),
  loss: ({ nn }, model, x, y) => nn.crossEntropy(model.forward(x), y),
};

/** Two 5 × 5 convolutions with ReLU and max-pooling, 3136-512-10, batch 64 of 28 × 28, Adam. */
const cnn = {
  name: "CNN",
  batch: {
    x: { shape: [64, 1, 28, 28], data: normal(64 * 784, 3) },
    y: { shape: [64], data: integers(64, 10, 4) },
  },
  optimizer: "Adam",
  create: ({ models }, device) => new models.CnnLarge({ device }),
  loss: ({ nn }, model, x, y) => nn.crossEntropy(model.forward(x), y),
};

/** 4 pre-norm blocks, width 128, 4 heads, context 128, vocabulary 65, batch 16, AdamW. */
const gpt = {
  name: "char-GPT",
  batch: {
    x: { shape: [16, 128], data: integers(16 * 128, 65, 5) },
    y: { shape: [16, 128], data: integers(16 * 128, 65, 6) },
  },
  optimizer: "AdamW",
  create: ({ models }, device) => new models.CharGpt({ device }),
  loss: ({ index, nn }, model, x, y) =>
    nn.crossEntropy(index.reshape(model.forward(x), [16 * 128, 65]), index.reshape(y, [16 * 128])),
};

export const workloads = { mlp, cnn, gpt };
export const learningRate = 1e-3;

/** A workload's starting weights, by PyTorch's names, as { dtype, shape, data }. */
export async function initialWeights(workload, library, device) {
  const weights = new Map();
  for (const [name, tensor] of workload.create(library, device).namedParameters()) {
    weights.set(name, { dtype: "float32", shape: [...tensor.shape], data: await tensor.data() });
  }
  return weights;
}

/**
 * wattgrad's side of a workload.
 * @param library { index, nn, optim, models }: the modules of wattgrad.
 * @param weights to start from; by default the model's own initial values.
 * @returns a function that runs one captured training step and returns its loss, a tensor.
 */
export async function ours(workload, library, device, weights) {
  const { index, optim } = library;
  const model = workload.create(library, device);
  if (weights !== undefined) await model.loadStateDict(weights);
  const optimizer = new optim[workload.optimizer](model.parameters(), { lr: learningRate });
  const { x, y } = workload.batch;
  const inputs = [
    index.tensor(x.data, { shape: x.shape, device }),
    index.tensor(y.data, { shape: y.shape, device }),
  ];
  const train = index.jit((a, b) => {
    const loss = workload.loss(library, model, a, b);
    loss.backward();
    optimizer.step();
    return loss;
  });
  return () => train(...inputs);
}
