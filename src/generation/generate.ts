/** Text generation: prefill, then token by token, greedily, by sampling or by beam search. */
import { check, checkOptions, type Kind } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { CausalModel } from "../models/decoder.js";
import { isModule } from "../nn/state.js";
import { BeamSearch } from "./beam.js";
import { ContextFullError } from "./errors.js";
import { processorsOf, renormalize } from "./logits.js";
import type { LogitsProcessor } from "./processor.js";
import { argmaxOf, tokenAt, uniformAt } from "./sampler.js";
import { chunkFor, DecodeSession, prefillCapacity } from "./session.js";
import {
  type GenerateOptions,
  generateKinds,
  type Resolved,
  resolveSettings,
  type SettingOptions,
  type Settings,
} from "./settings.js";

const op = "generate";

/** A new token of a sequence, as it is chosen. */
export interface GeneratedToken {
  /** Of which sequence: those of the first prompt come first. */
  readonly sequence: number;
  readonly token: number;
}

/** Why a sequence ended: a token that says so, a stop text, the number of tokens, a context that is full. */
export type StopReason = "eos" | "stop" | "length" | "context";

/** A sequence that has ended. */
export interface GeneratedSequence {
  /** The new tokens; the one that ended the sequence is the last. */
  readonly ids: readonly number[];
  /** With a tokenizer: the text of the new tokens, without what follows a stop text, or it. */
  readonly text: string | undefined;
  readonly reason: StopReason;
  /** Of beam search: the sum of the log-probabilities, divided by length^lengthPenalty. */
  readonly score: number | undefined;
  /** With `outputScores`: the processed scores of each token. */
  readonly scores: readonly Float32Array[];
}

/** What a generation gives at its end. */
export interface GenerationResult {
  /** Of each prompt `numReturnSequences`, the best first. */
  readonly sequences: readonly (readonly GeneratedSequence[])[];
  /** The settings in effect. */
  readonly settings: Settings;
  /** Keys of generation_config.json that would change tokens and are not supported. */
  readonly unknown: readonly string[];
  readonly usage: {
    readonly promptTokens: number;
    readonly tokens: number;
    /** Positions of the caches at the end, and how often they were doubled. */
    readonly cacheCapacity: number;
    readonly cacheGrowths: number;
  };
}

/** Tokens as they come, and the result. It runs once: by iteration, or by `finish`. */
export interface Generation extends AsyncIterable<GeneratedToken> {
  /** Runs to the end, what is left of it. */
  finish(): Promise<GenerationResult>;
}

const aCausalModel: Kind = [
  "a model that predicts tokens",
  (value) => isModule(value) && typeof (value as Partial<CausalModel>).sizes === "object",
  () => 'fromPretrained(source, { head: "causalLm" }) makes one',
];

/**
 * Generates tokens after one or several prompts, of any lengths. Keys and values are cached, prompts are read in chunks of at most 128 tokens;
 * after the second token nothing is compiled or allocated until a cache has to be doubled. Tokens of beam search come all at its end.
 *
 * Results do not depend on what else is in the batch. The same seed gives the same tokens on every device, as far as their logits agree.
 *
 * @throws ArgumentError, ContextFullError; from the iteration also the reason of `signal`.
 * @example
 * const source = folder("node_modules/wattgrad/test/fixtures/models/smollm2");
 * const { model, generationConfig } = await fromPretrained<LlamaCausalLm>(source, { device: "wasm" });
 * const generation = generate(model, { inputIds: [5, 7, 11], maxNewTokens: 4, generationConfig });
 * const tokens = [];
 * for await (const { token } of generation) tokens.push(token);
 * const { sequences, settings } = await generation.finish();
 * sequences[0][0].reason; // "length"
 * settings.doSample; // false
 */
export function generate(model: CausalModel, options: GenerateOptions): Generation {
  check(op, "the model", model, aCausalModel);
  const {
    inputIds,
    generationConfig = {},
    ...given
  } = checkOptions(op, options, generateKinds()) as GenerateOptions;
  const { processors, tokenizer, stop, outputScores, cacheCapacity, signal, ...asked } = given;
  const prompts = promptsOf(inputIds);
  const longest = Math.max(...prompts.map(({ length }) => length));
  const { maxPositions } = model.sizes;
  if (longest > maxPositions) throw new ContextFullError(longest, maxPositions);
  const stops = typeof stop === "string" ? [stop] : (stop ?? []);
  if (stops.length > 0 && tokenizer === undefined) {
    throw new ArgumentError("stop texts need a tokenizer", { op, hint: "give the option tokenizer" });
  }
  const resolved = resolveSettings(asked as SettingOptions, generationConfig, longest);
  const run = new Run(model, prompts, resolved, { ...given, stops });
  const tokens = run.tokens();
  return {
    [Symbol.asyncIterator]: () => tokens,
    async finish() {
      while (!(await tokens.next()).done);
      return run.result();
    },
  };
}

/** @throws ArgumentError for prompts that are no lists of ids, or empty. */
function promptsOf(inputIds: GenerateOptions["inputIds"] | undefined): readonly (readonly number[])[] {
  const prompts = (Array.isArray(inputIds?.[0]) ? inputIds : [inputIds]) as readonly (readonly number[])[];
  const isIds = (ids: unknown) =>
    Array.isArray(ids) && ids.length > 0 && ids.every((id) => Number.isSafeInteger(id) && id >= 0);
  if (prompts.every(isIds)) return prompts;
  throw new ArgumentError("inputIds is a list of token ids, or a list of such lists, none of them empty", {
    op,
  });
}

interface Extras
  extends Pick<GenerateOptions, "processors" | "tokenizer" | "outputScores" | "cacheCapacity" | "signal"> {
  readonly stops: readonly string[];
}

/** A sequence while it grows. */
interface Growing {
  readonly prompt: readonly number[];
  readonly ids: number[];
  readonly scores: Float32Array[];
  reason: StopReason | undefined;
  text: string | undefined;
}

/** Smallest capacity of a cache, unless the caller wants less. */
const leastCapacity = 64;
/** Positions beyond the prompt that a cache has from the beginning, at most. */
const mostAhead = 256;

class Run {
  readonly #model: CausalModel;
  readonly #prompts: readonly (readonly number[])[];
  readonly #settings: Settings;
  readonly #unknown: readonly string[];
  readonly #extras: Extras;
  readonly #processors: readonly LogitsProcessor[];
  #sequences: readonly (readonly GeneratedSequence[])[] | undefined;
  #usage: GenerationResult["usage"] | undefined;

  constructor(
    model: CausalModel,
    prompts: readonly (readonly number[])[],
    { settings, unknown }: Resolved,
    extras: Extras,
  ) {
    this.#model = model;
    this.#prompts = prompts;
    this.#settings = settings;
    this.#unknown = unknown;
    this.#extras = extras;
    this.#processors = processorsOf(settings, extras.processors);
  }

  /** @throws ArgumentError if the iteration was left before its end. */
  result(): GenerationResult {
    if (this.#sequences === undefined || this.#usage === undefined) {
      throw new ArgumentError("the generation was left before its end", { op });
    }
    return {
      sequences: this.#sequences,
      settings: this.#settings,
      unknown: this.#unknown,
      usage: this.#usage,
    };
  }

  async *tokens(): AsyncGenerator<GeneratedToken, undefined> {
    this.#extras.signal?.throwIfAborted();
    const lengths = this.#prompts.map(({ length }) => length);
    const { maxNewTokens, numBeams } = this.#settings;
    const {
      cacheCapacity = Math.max(leastCapacity, Math.max(...lengths) + Math.min(maxNewTokens, mostAhead)),
    } = this.#extras;
    const needed = Math.max(cacheCapacity, prefillCapacity(lengths));
    const device = this.#model.parameters()[0].device;
    const session = new DecodeSession(this.#model, device, lengths.length, 2 ** Math.ceil(Math.log2(needed)));
    try {
      if (numBeams > 1) yield* this.#beams(session);
      else yield* this.#sequential(session);
      this.#usage = {
        promptTokens: lengths.reduce((sum, length) => sum + length, 0),
        tokens: this.#sequences!.flat().reduce((sum, { ids }) => sum + ids.length, 0),
        cacheCapacity: session.capacity,
        cacheGrowths: session.growths,
      };
    } finally {
      session.dispose();
    }
  }

  /** Reads the prompts; the result of each is that of the chunk in which it ends. */
  async #prefill(session: DecodeSession, kind: "best" | "scores"): Promise<(number | Float32Array)[]> {
    const batch = this.#prompts.length;
    const results: (number | Float32Array)[] = [];
    let done = this.#prompts.map(() => 0);
    for (;;) {
      const left = this.#prompts.map(({ length }, n) => length - done[n]);
      if (left.every((count) => count === 0)) return results;
      const { length, counts } = chunkFor(left);
      const tokens = new Int32Array(batch * length);
      this.#prompts.forEach((prompt, n) => {
        tokens.set(prompt.slice(done[n], done[n] + counts[n]), n * length);
      });
      const values = await session.step(tokens, counts, kind);
      this.#extras.signal?.throwIfAborted();
      counts.forEach((count, n) => {
        if (count > 0 && count === left[n]) results[n] = rowOf(values, n, batch);
      });
      done = done.map((count, n) => count + counts[n]);
    }
  }

  async *#sequential(session: DecodeSession): AsyncGenerator<GeneratedToken, undefined> {
    const { doSample, numReturnSequences: copies } = this.#settings;
    const { outputScores = false } = this.#extras;
    const kind = doSample || outputScores || this.#processors.length > 0 ? "scores" : "best";
    let values = await this.#prefill(session, kind);
    if (copies > 1) {
      const rows = this.#prompts.flatMap((_, n) => new Array<number>(copies).fill(n));
      session.reorder(rows);
      values = rows.map((row) => (typeof values[row] === "number" ? values[row] : values[row].slice()));
    }
    const sequences = this.#prompts.flatMap((prompt) =>
      Array.from(
        { length: copies },
        (): Growing => ({ prompt, ids: [], scores: [], reason: undefined, text: undefined }),
      ),
    );
    for (let step = 0; ; step++) {
      const chosen = new Int32Array(sequences.length);
      const counts = new Array<number>(sequences.length).fill(0);
      for (const [n, sequence] of sequences.entries()) {
        if (sequence.reason !== undefined) continue;
        const token = this.#choose(sequence, values[n], n, step);
        chosen[n] = token;
        sequence.ids.push(token);
        this.#end(sequence, token);
        if (sequence.reason === undefined) counts[n] = 1;
        yield { sequence: n, token };
        this.#extras.signal?.throwIfAborted();
      }
      if (sequences.every(({ reason }) => reason !== undefined)) break;
      const next = await session.step(chosen, counts, kind);
      this.#extras.signal?.throwIfAborted();
      values = sequences.map((_, n) => rowOf(next, n, sequences.length));
    }
    const results = sequences.map(({ ids, text, reason, scores }) => ({
      ids,
      text: text ?? this.#extras.tokenizer?.decode(ids),
      reason: reason!,
      score: undefined,
      scores,
    }));
    this.#sequences = this.#prompts.map((_, n) => results.slice(n * copies, (n + 1) * copies));
  }

  #choose({ prompt, ids, scores }: Growing, value: number | Float32Array, row: number, step: number): number {
    if (typeof value === "number") return value;
    const context = { ids: [...prompt, ...ids], promptLength: prompt.length };
    for (const process of this.#processors) process(value, context);
    if (this.#extras.outputScores) scores.push(value);
    const { doSample, seed } = this.#settings;
    return doSample ? tokenAt(value, uniformAt(seed, row, step)) : argmaxOf(value);
  }

  /** Sets the reason if the sequence ends with this token. */
  #end(sequence: Growing, token: number): void {
    const { eosTokenId, maxNewTokens } = this.#settings;
    const { tokenizer, stops } = this.#extras;
    const { ids, prompt } = sequence;
    if (eosTokenId.includes(token)) sequence.reason = "eos";
    else if (stops.length > 0) {
      const text = tokenizer!.decode(ids);
      const places = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
      if (places.length > 0) {
        sequence.reason = "stop";
        sequence.text = text.slice(0, Math.min(...places));
      }
    }
    if (sequence.reason !== undefined) return;
    if (ids.length >= maxNewTokens) sequence.reason = "length";
    else if (prompt.length + ids.length >= this.#model.sizes.maxPositions) sequence.reason = "context";
  }

  async *#beams(session: DecodeSession): AsyncGenerator<GeneratedToken, undefined> {
    const { numBeams, numReturnSequences, eosTokenId } = this.#settings;
    const room = this.#model.sizes.maxPositions - Math.max(...this.#prompts.map(({ length }) => length));
    const settings = { ...this.#settings, maxNewTokens: Math.min(this.#settings.maxNewTokens, room) };
    if (this.#extras.stops.length > 0) throw new ArgumentError("beam search has no stop texts", { op });
    const first = (await this.#prefill(session, "scores")) as Float32Array[];
    const searches = this.#prompts.map(() => new BeamSearch(settings));
    const start = this.#prompts.flatMap((_, n) => new Array<number>(numBeams).fill(n));
    session.reorder(start);
    let values: Float32Array[] = start.map((n) => first[n].slice());
    for (;;) {
      const rows: number[] = [];
      for (const [n, search] of searches.entries()) {
        const own = Array.from({ length: numBeams }, (_, b) => n * numBeams + b);
        if (search.isDone) {
          rows.push(...own);
          continue;
        }
        for (const [b, row] of own.entries()) {
          const { ids } = search.running[b];
          const context = { ids: [...this.#prompts[n], ...ids], promptLength: this.#prompts[n].length };
          renormalize(values[row]);
          for (const process of this.#processors) process(values[row], context);
        }
        rows.push(...search.advance(own.map((row) => values[row])).map((from) => n * numBeams + from));
      }
      if (searches.every(({ isDone }) => isDone)) break;
      session.reorder(rows);
      const going = rows.map((_, row) => !searches[Math.floor(row / numBeams)].isDone);
      const tokens = Int32Array.from(rows, (_, row) => {
        const { ids } = searches[Math.floor(row / numBeams)].running[row % numBeams];
        return ids[ids.length - 1] ?? 0;
      });
      const next = await session.step(tokens, going.map(Number), "scores");
      this.#extras.signal?.throwIfAborted();
      values = rows.map((_, row) => rowOf(next, row, rows.length) as Float32Array);
    }
    this.#sequences = searches.map(({ finished }) =>
      finished.slice(0, numReturnSequences).map(({ ids, score }): GeneratedSequence => {
        const ended = eosTokenId.includes(ids[ids.length - 1]);
        const reason = ended ? "eos" : ids.length >= this.#settings.maxNewTokens ? "length" : "context";
        return { ids, score, reason, text: this.#extras.tokenizer?.decode(ids), scores: [] };
      }),
    );
    for (const [sequence, { ids }] of this.#sequences.flat().entries()) {
      for (const token of ids) yield { sequence, token };
    }
  }
}

/** The best token of row n, or a copy of its scores. */
function rowOf(values: Int32Array | Float32Array, n: number, batch: number): number | Float32Array {
  if (values instanceof Int32Array) return values[n];
  const width = values.length / batch;
  return Float32Array.from(values.subarray(n * width, (n + 1) * width));
}
