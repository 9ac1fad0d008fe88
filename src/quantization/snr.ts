/** Signal-to-noise ratio of what quantized layers compute. */
import { readTensor, realize } from "../compiler/realize.js";
import { square, sub } from "../ops/elementwise.js";
import { sum } from "../ops/reduce.js";
import { noGrad, type Tensor } from "../tensor/tensor.js";

/** Energies of a signal and of what differs from it, summed up over batches. */
export class SignalToNoise {
  #signal = 0;
  #noise = 0;

  /** Adds what `got` is off from `want`; both are float32 of one shape. */
  async add(want: Tensor, got: Tensor): Promise<void> {
    const sums = noGrad(() => [sum(square(want)), sum(square(sub(got, want)))]);
    realize(sums);
    const [[signal], [noise]] = await Promise.all(sums.map(readTensor));
    for (const tensor of sums) tensor.storage?.dispose();
    this.#signal += signal;
    this.#noise += noise;
  }

  /** 10·log₁₀(Σ want² / Σ (got − want)²); infinite where nothing differs, NaN where nothing was seen or is not finite. */
  get decibels(): number {
    if (this.#noise === 0) return this.#signal > 0 ? Number.POSITIVE_INFINITY : Number.NaN;
    return 10 * Math.log10(this.#signal / this.#noise);
  }
}
