/**
 * Exact counts of a transformer from this library's own graph. All blocks after the first few cost the same, and so does
 * every token of the vocabulary: counts are affine in both, so that three small models determine them.
 */
import { backward } from "../../autograd/backward.js";
import { ArgumentError } from "../../core/errors.js";
import type { Device } from "../../device/device.js";
import { noGrad, ones, reshape, zeros } from "../../index.js";
import { crossEntropy } from "../../nn/index.js";
import { cost, openDry } from "../../profile/index.js";
import type { TransformerShape } from "./config.js";
import { Transformer } from "./transformer.js";

export interface TransformerCount {
  readonly parameters: number;
  /** Tokens of the sequence that was counted. */
  readonly length: number;
  /** Counts of one sequence: forward, and forward with backward (without the optimizer). */
  readonly forwardFlops: number;
  readonly trainingFlops: number;
  /** Temporaries of training with one sequence, float32. */
  readonly activationBytes: number;
}

type Counts = Omit<TransformerCount, "length">;

/** Stands for any number: small, so that embeddings fit into an index of 31 bits. */
const fewTokens = 1024;
/** From this block on, all blocks cost the same: values shared by up to four blocks, such as the mask, are recomputed in each. */
const likeTheRest = 5;

/** @throws ArgumentError if the sequence is longer than the model's. */
export async function countTransformer(shape: TransformerShape, length: number): Promise<TransformerCount> {
  if (length > shape.context) {
    throw new ArgumentError(`${length} tokens are more than the model's longest sequence, ${shape.context}`);
  }
  const layers = Math.min(shape.layers, likeTheRest);
  const base = await countOne({ ...shape, layers, vocabulary: fewTokens }, length);
  const deeper = await countOne({ ...shape, layers: layers + 1, vocabulary: fewTokens }, length);
  const wider = await countOne({ ...shape, layers, vocabulary: 2 * fewTokens }, length);
  const extrapolated = (field: keyof Counts) =>
    base[field] +
    (shape.layers - layers) * (deeper[field] - base[field]) +
    ((shape.vocabulary - fewTokens) / fewTokens) * (wider[field] - base[field]);
  return {
    length,
    parameters: extrapolated("parameters"),
    forwardFlops: extrapolated("forwardFlops"),
    trainingFlops: extrapolated("trainingFlops"),
    activationBytes: extrapolated("activationBytes"),
  };
}

async function countOne(shape: TransformerShape, length: number): Promise<Counts> {
  const device = openDry();
  const model = new Transformer(shape, device);
  const tokens = await leafOf(zeros([1, length], { device, dtype: "int32" }));
  const targets = await leafOf(zeros([length], { device, dtype: "int32" }));
  const start = shape.architecture === "bert" ? await leafOf(ones([1, shape.width], { device })) : undefined;
  const forward = await cost(device, () => noGrad(() => model.forward(tokens)));
  const training = await cost(device, () => {
    const output = model.forward(tokens);
    const root = start ? output : crossEntropy(reshape(output, [length, shape.vocabulary]), targets);
    backward(root, { gradient: start });
    // Together, as a training step computes them.
    return [root, ...model.parameters().flatMap(({ grad }) => grad ?? [])];
  });
  const counts = {
    parameters: model.parameterCount(),
    forwardFlops: forward.flops,
    trainingFlops: training.flops,
    activationBytes: Math.max(...training.programs.map(({ program }) => program.arenaBytes)),
  };
  device.close();
  return counts;
}

async function leafOf<T extends { data(): Promise<unknown>; readonly device: Device }>(
  tensor: T,
): Promise<T> {
  await tensor.data();
  return tensor;
}
