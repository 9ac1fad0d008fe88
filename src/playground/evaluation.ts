/** Evaluation of a network on the test images: scores, and the images that it classifies correctly and wrongly. */
import type { Mnist } from "../data/index.js";
import { classCount, imageSize, type Sample, type SampleChoice, sampleCount } from "./messages.js";
import { type Network, normalized } from "./network.js";

const batchSize = 100;
/** Where a probability has rounded to 0: the smallest number that float32 holds with all its digits. */
const smallestProbability = 2 ** -126;

export interface EvaluationOptions {
  /** No batch starts after this time: slow devices evaluate fewer images. */
  readonly seconds: number;
  readonly signal?: AbortSignal;
}

/** The outcome for the first `count` test images. */
export class Evaluation {
  readonly count: number;
  /** Mean cross-entropy. */
  readonly loss: number;
  readonly #test: Mnist;
  readonly #predicted: readonly number[];
  readonly #probability: readonly number[];
  /** Indices of misclassified images, highest probability first. */
  readonly #mistakes: readonly number[];

  private constructor(
    test: Mnist,
    loss: number,
    predicted: readonly number[],
    probability: readonly number[],
  ) {
    const labels = test.labels.data;
    this.#test = test;
    this.loss = loss;
    this.count = predicted.length;
    this.#predicted = predicted;
    this.#probability = probability;
    this.#mistakes = predicted
      .flatMap((digit, i) => (digit === labels[i] ? [] : [i]))
      .sort((a, b) => probability[b] - probability[a]);
  }

  /** Undefined if aborted by `signal`. */
  static async run(
    network: Network,
    test: Mnist,
    options: EvaluationOptions,
  ): Promise<Evaluation | undefined> {
    const { seconds, signal } = options;
    const start = performance.now();
    const dataset = normalized(test);
    const labels = test.labels.data;
    const predicted: number[] = [];
    const probability: number[] = [];
    let loss = 0;
    while (predicted.length < dataset.length) {
      if (predicted.length > 0 && performance.now() - start > seconds * 1000) break;
      const first = predicted.length;
      const length = Math.min(batchSize, dataset.length - first);
      const [images] = dataset.batch(Int32Array.from({ length }, (_, i) => first + i));
      const probabilities = await network.classify(images);
      if (signal?.aborted) return undefined;
      for (let row = 0; row < length; row++) {
        const ten = probabilities.subarray(row * classCount, (row + 1) * classCount);
        const digit = ten.reduce((best, value, i) => (value > ten[best] ? i : best), 0);
        predicted.push(digit);
        probability.push(ten[digit]);
        loss -= Math.log(Math.max(ten[labels[first + row]], smallestProbability));
      }
    }
    return new Evaluation(test, loss / predicted.length, predicted, probability);
  }

  get mistakes(): number {
    return this.#mistakes.length;
  }

  /** 0..1. */
  get accuracy(): number {
    return 1 - this.mistakes / this.count;
  }

  samples(choice: SampleChoice): Sample[] {
    const first = Array.from({ length: Math.min(sampleCount, this.count) }, (_, i) => i);
    const chosen = choice === "first" ? first : this.#mistakes.slice(0, sampleCount);
    const size = imageSize * imageSize;
    const pixels = this.#test.images.data as Uint8Array;
    return chosen.map((i) => ({
      pixels: pixels.slice(i * size, (i + 1) * size),
      label: this.#test.labels.data[i],
      predicted: this.#predicted[i],
      probability: this.#probability[i],
    }));
  }
}
