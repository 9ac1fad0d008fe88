/** Runs an encoder on rows of any lengths: in batches, padded to a few lengths, each of which is a Program. */
import { bucketLengths } from "../data/index.js";
import { noGrad, type Tensor } from "../graph/tensor.js";
import type { Module } from "../nn/module.js";
import { tensor } from "../ops/creation.js";
import { dispose } from "../runtime/dispose.js";
import { type JitFunction, jit } from "../runtime/jit.js";
import type { Assembled } from "../text/index.js";

/** What a model has computed for one row. */
export interface Values {
  readonly data: Float32Array;
  /** [C] for a result of the whole row, [T, C] or [T] for one of each token; padding is left out. */
  readonly shape: readonly number[];
}

/** One or several results for each row, [N, …] each. */
export type Forward = (
  tokens: Tensor,
  call: {
    readonly lengths: Tensor;
    readonly tokenTypes: Tensor | undefined;
    readonly positions: Tensor | undefined;
  },
) => readonly Tensor[];

/** A row of tokens. */
export interface EncoderRow extends Pick<Assembled, "ids" | "tokenTypes"> {
  /** The positions whose result is wanted, for models that compute some only. */
  readonly positions?: readonly number[];
}

type Jitted = JitFunction<
  [tokens: Tensor, lengths: Tensor, tokenTypes: Tensor | null, positions: Tensor | null],
  readonly Tensor[]
>;

/** Options of `EncoderRunner`. */
export interface RunnerOptions {
  /** Most rows at a time. */
  readonly batchSize: number;
  /** Most tokens of a row. */
  readonly maxLength: number;
  /** The token of padding. */
  readonly pad: number;
  /** Whether results are of each token, [N, T, …], or of the whole row, [N, …]. */
  readonly perToken: boolean;
  /** Whether the model is told which tokens belong to the second text. */
  readonly hasTypes: boolean;
}

/** Runs one model. */
export class EncoderRunner {
  readonly #forward: Jitted;
  readonly #model: Module;
  readonly #options: RunnerOptions;

  constructor(model: Module, forward: Forward, options: RunnerOptions) {
    this.#model = model;
    this.#options = options;
    this.#forward = jit((tokens: Tensor, lengths: Tensor, types: Tensor | null, positions: Tensor | null) =>
      noGrad(() =>
        forward(tokens, { lengths, tokenTypes: types ?? undefined, positions: positions ?? undefined }),
      ),
    ) as unknown as Jitted;
  }

  /** The results of each row. */
  async run(rows: readonly EncoderRow[]): Promise<Values[][]> {
    // Rows of like lengths share a batch, so that little is padding.
    const order = rows.map((_, i) => i).sort((a, b) => rows[a].ids.length - rows[b].ids.length);
    const results = new Array<Values[]>(rows.length);
    const { batchSize } = this.#options;
    for (let at = 0; at < order.length; at += batchSize) {
      const own = order.slice(at, at + batchSize);
      const values = await this.#batch(own.map((i) => rows[i]));
      own.forEach((i, n) => {
        results[i] = values[n];
      });
    }
    return results;
  }

  async #batch(rows: readonly EncoderRow[]): Promise<Values[][]> {
    const { maxLength, pad, hasTypes, perToken } = this.#options;
    const { device } = this.#model.parameters()[0];
    const counts = rows.map(({ ids }) => ids.length);
    const width = Math.min(maxLength, bucketLengths(Math.max(...counts)).at(-1)!);
    const shape = [rows.length, width];
    const ids = new Int32Array(rows.length * width).fill(pad);
    const types = new Int32Array(rows.length * width);
    rows.forEach((row, n) => {
      ids.set(row.ids, n * width);
      types.set(row.tokenTypes, n * width);
    });
    const most = Math.max(...rows.map(({ positions = [] }) => positions.length));
    const wanted = new Int32Array(rows.length * most);
    for (const [n, { positions = [] }] of rows.entries()) wanted.set(positions, n * most);
    const given = [
      tensor(ids, { shape, device }),
      tensor(Int32Array.from(counts), { shape: [rows.length], device }),
      hasTypes ? tensor(types, { shape, device }) : null,
      most > 0 ? tensor(wanted, { shape: [rows.length, most], device }) : null,
    ] as const;
    let outputs: readonly Tensor[] = [];
    try {
      outputs = this.#forward(...given);
      const data = await Promise.all(outputs.map((output) => output.data()));
      return rows.map((_, n) =>
        outputs.map(({ shape: [, ...own] }, k) => {
          const size = data[k].length / rows.length;
          const kept = perToken ? (size / width) * counts[n] : size;
          const row = (data[k] as Float32Array).slice(n * size, n * size + kept);
          return { data: row, shape: perToken ? [counts[n], ...own.slice(1)] : own };
        }),
      );
    } finally {
      for (const each of [...given, ...outputs]) if (each) dispose(each);
    }
  }
}
