/**
 * A model that decodes a batch of sequences with a cache of static capacity. Lengths are values, so that a model has a Program for each
 * chunk length and capacity, and no step compiles.
 */
import type { Device } from "../device/device.js";
import { noGrad, type Tensor } from "../graph/tensor.js";
import { type CausalModel, chunkLengths } from "../models/decoder.js";
import type { KeyValueCache } from "../nn/key_value_cache.js";
import { tensor } from "../ops/creation.js";
import { argmax } from "../ops/reduce.js";
import { dispose } from "../runtime/dispose.js";
import { type JitFunction, jit } from "../runtime/jit.js";
import { copyCache, disposeCache, emptyCache, setLengths } from "./cache.js";

type Step = JitFunction<[tokens: Tensor, counts: Tensor, cache: KeyValueCache], Tensor>;

/** What a step computes: the best token of each sequence or its scores, after its last token or after all. */
type StepKind = "best" | "scores" | "allBest" | "allScores";

/** The jit functions of each model: their recordings are found again by later generations. */
const steps = new WeakMap<CausalModel, Readonly<Record<StepKind, Step>>>();

function stepsOf(model: CausalModel) {
  let made = steps.get(model);
  if (made === undefined) {
    const scores = (last: boolean) => (tokens: Tensor, counts: Tensor, cache: KeyValueCache) =>
      noGrad(() => model.forward(tokens, { cache, counts, last }));
    const best = (last: boolean) => {
      const logits = scores(last);
      return (...given: Parameters<typeof logits>) => argmax(logits(...given), -1);
    };
    made = {
      best: jit(best(true)) as Step,
      scores: jit(scores(true)) as Step,
      allBest: jit(best(false)) as Step,
      allScores: jit(scores(false)) as Step,
    };
    steps.set(model, made);
  }
  return made;
}

/** The next chunk for sequences that have so many tokens left. */
export function chunkFor(left: readonly number[]): {
  readonly length: number;
  readonly counts: readonly number[];
} {
  const longest = Math.max(...left);
  const length = chunkLengths.find((chunk) => chunk >= longest) ?? chunkLengths[chunkLengths.length - 1];
  return { length, counts: left.map((count) => Math.min(count, length)) };
}

/** The positions that prompts need while they are read, padding included. */
export function prefillCapacity(lengths: readonly number[]): number {
  let [left, done] = [[...lengths], lengths.map(() => 0)];
  let needed = 0;
  while (left.some((count) => count > 0)) {
    const { length, counts } = chunkFor(left);
    needed = Math.max(needed, Math.max(...done) + length);
    done = done.map((count, n) => count + counts[n]);
    left = left.map((count, n) => count - counts[n]);
  }
  return needed;
}

/** What a step gives for each sequence: the best token, chosen on the device, or the scores of all. */
export type StepResult = Int32Array | Float32Array;

export class DecodeSession {
  readonly #model: CausalModel;
  readonly #device: Device;
  #cache: KeyValueCache;
  /** A second cache, into which beams are sorted. */
  #spare: KeyValueCache | undefined;
  /** Positions that are filled, of each sequence. */
  #lengths: number[];
  #capacity: number;
  /** How often the capacity was doubled. */
  growths = 0;

  constructor(model: CausalModel, device: Device, batch: number, capacity: number) {
    this.#model = model;
    this.#device = device;
    this.#capacity = capacity;
    this.#lengths = new Array(batch).fill(0);
    this.#cache = emptyCache(model.sizes, batch, capacity, device);
  }

  get capacity(): number {
    return this.#capacity;
  }

  /**
   * Reads the first `counts[n]` tokens of each row of `tokens` [N, length].
   * @returns int32 [N] or float32 [N, vocabulary] for the last of them; without meaning for rows of which nothing was read.
   */
  async step(tokens: Int32Array, counts: readonly number[], kind: "best" | "scores"): Promise<StepResult> {
    return this.#run(tokens, counts, kind);
  }

  /**
   * Reads tokens of a single sequence, at most a chunk.
   * @returns int32 [T] or float32 [T, vocabulary]: a row for each of them.
   */
  async stepAll(tokens: Int32Array, kind: "best" | "scores"): Promise<StepResult> {
    const { length } = chunkFor([tokens.length]);
    const padded = new Int32Array(length);
    padded.set(tokens);
    const values = await this.#run(padded, [tokens.length], kind === "best" ? "allBest" : "allScores");
    return values.subarray(0, (values.length / length) * tokens.length);
  }

  async #run(tokens: Int32Array, counts: readonly number[], kind: StepKind): Promise<StepResult> {
    const batch = counts.length;
    const length = tokens.length / batch;
    while (Math.max(...this.#lengths) + length > this.#capacity) this.#grow();
    const given = tensor(tokens, { shape: [batch, length], device: this.#device });
    const read = tensor(Int32Array.from(counts), { shape: [batch], device: this.#device });
    let result: Tensor | undefined;
    try {
      result = stepsOf(this.#model)[kind](given, read, this.#cache);
      this.#lengths = this.#lengths.map((filled, n) => filled + counts[n]);
      return (await result.data()) as StepResult;
    } finally {
      for (const used of [given, read, result]) if (used) dispose(used);
    }
  }

  /** Forgets what a single sequence has from position `length` on. */
  crop(length: number): void {
    this.#lengths = [length];
    setLengths(this.#cache, this.#lengths);
  }

  /** Row i goes on as row `rows[i]` did; there may be another number of rows. */
  reorder(rows: readonly number[]): void {
    const isSame = rows.length === this.#lengths.length;
    if (isSame && rows.every((row, i) => row === i)) return;
    const target =
      (isSame && this.#spare) || emptyCache(this.#model.sizes, rows.length, this.#capacity, this.#device);
    copyCache(this.#cache, target, rows);
    this.#spare = isSame ? this.#cache : undefined;
    if (!isSame) disposeCache(this.#cache);
    this.#cache = target;
    this.#lengths = rows.map((row) => this.#lengths[row]);
  }

  #grow(): void {
    const batch = this.#lengths.length;
    const larger = emptyCache(this.#model.sizes, batch, 2 * this.#capacity, this.#device);
    copyCache(
      this.#cache,
      larger,
      Array.from({ length: batch }, (_, n) => n),
    );
    this.dispose();
    this.#spare = undefined;
    this.#cache = larger;
    this.#capacity *= 2;
    this.growths++;
  }

  /** Frees the caches. */
  dispose(): void {
    disposeCache(this.#cache);
    if (this.#spare) disposeCache(this.#spare);
  }
}
