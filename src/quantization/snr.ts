/** Signal-to-noise ratio of what quantized layers compute. */

import type { Tensor } from "../graph/tensor.js";
import { readTensor } from "../runtime/host_data.js";

/** Energies of a signal and of what differs from it, summed up over batches. */
export class SignalToNoise {
  #signal = 0;
  #noise = 0;

  /** Adds what `got` is off from `want`: float32 of one size, in memory, on any devices. */
  async add(want: Tensor, got: Tensor): Promise<void> {
    const [x, y] = await Promise.all([readTensor(want), readTensor(got)]);
    for (let i = 0; i < x.length; i++) {
      this.#signal += x[i] * x[i];
      this.#noise += (y[i] - x[i]) ** 2;
    }
  }

  /** 10·log₁₀(Σ want² / Σ (got − want)²); infinite where nothing differs, NaN where nothing was seen or is not finite. */
  get decibels(): number {
    if (this.#noise === 0) return this.#signal > 0 ? Number.POSITIVE_INFINITY : Number.NaN;
    return 10 * Math.log10(this.#signal / this.#noise);
  }
}
