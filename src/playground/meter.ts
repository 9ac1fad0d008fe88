/** Gathers the scores of training steps into a few messages per second. */
import type { StepRecord } from "../train/index.js";
import type { Progress } from "./messages.js";

/** Milliseconds: often enough to look live, seldom enough that drawing the plots costs the page nothing. */
const interval = 250;
/** Fewer images make a noisy point; a slow device makes one after `patience` milliseconds. */
const imagesPerPoint = 512;
const patience = 2000;

export class Meter {
  /** Since the model was new. */
  images = 0;
  step = 0;
  readonly #trainImages: number;
  readonly #post: (progress: Progress) => void;
  #last = 0;
  #samples = 0;
  #loss = 0;
  #correct = 0;

  constructor(trainImages: number, post: (progress: Progress) => void) {
    this.#trainImages = trainImages;
    this.#post = post;
  }

  /** Training begins or goes on: the time before does not count. */
  begin(): void {
    this.#last = performance.now();
    this.#samples = 0;
    this.#loss = 0;
    this.#correct = 0;
  }

  add({ samples, loss, metrics }: StepRecord): void {
    this.step++;
    this.images += samples;
    this.#samples += samples;
    this.#loss += loss * samples;
    this.#correct += metrics.accuracy * samples;
    const now = performance.now();
    const elapsed = now - this.#last;
    if (elapsed < interval || (this.#samples < imagesPerPoint && elapsed < patience)) return;
    this.#post({
      images: this.images,
      step: this.step,
      epochs: this.images / this.#trainImages,
      loss: this.#loss / this.#samples,
      accuracy: this.#correct / this.#samples,
      imagesPerSecond: this.#samples / (elapsed / 1000),
    });
    this.begin();
  }
}
