/** The loop of a generation: prefill, then token by token, greedily, by sampling, with drafts, or by beam search. */
import { ArgumentError } from "../core/errors.js";
import type { CausalModel } from "../models/decoder.js";
import { BeamSearch } from "./beam.js";
import { type Constrained, constrained } from "./constrain/constraint.js";
import type { TokenBytes } from "./constrain/vocabulary.js";
import { processorsOf, renormalize } from "./logits.js";
import type { LogitsProcessor } from "./processor.js";
import { lookUp } from "./prompt_lookup.js";
import type { GeneratedSequence, GeneratedToken, GenerationResult, StopReason } from "./result.js";
import { argmaxOf, tokenAt, uniformAt } from "./sampler.js";
import { SequenceText } from "./sequence_text.js";
import { chunkFor, DecodeSession, prefillCapacity } from "./session.js";
import type { GenerateOptions, Resolved, Settings } from "./settings.js";

const op = "generate";

interface Extras
  extends Pick<
    GenerateOptions,
    "processors" | "tokenizer" | "constraint" | "outputScores" | "cacheCapacity" | "signal"
  > {
  readonly stops: readonly string[];
}

/** A sequence while it grows. */
interface Growing {
  readonly prompt: readonly number[];
  readonly ids: number[];
  readonly scores: Float32Array[];
  reason: StopReason | undefined;
  readonly text: SequenceText | undefined;
}

/** Smallest capacity of a cache, unless the caller wants less. */
const leastCapacity = 64;
/** Positions beyond the prompt that a cache has from the beginning, at most. */
const mostAhead = 256;

/** The loop of a generation. */
export class Run {
  readonly #model: CausalModel;
  readonly #prompts: readonly (readonly number[])[];
  readonly #settings: Settings;
  readonly #unknown: readonly string[];
  readonly #extras: Extras;
  readonly #processors: readonly LogitsProcessor[];
  readonly #constrained: Constrained | undefined;
  #sequences: readonly (readonly GeneratedSequence[])[] | undefined;
  #usage: GenerationResult["usage"] | undefined;
  #draftTokens = 0;
  #acceptedTokens = 0;

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
    const { processors = [], constraint, tokenizer } = extras;
    this.#constrained = constraint && constrained(constraint, tokenizer as TokenBytes, settings);
    const custom = this.#constrained ? [...processors, this.#constrained.process] : processors;
    this.#processors = processorsOf(settings, custom);
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
        draftTokens: this.#draftTokens,
        acceptedTokens: this.#acceptedTokens,
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
      Array.from({ length: copies }, () => this.#growing(prompt)),
    );
    if (this.#settings.promptLookupNumTokens > 0)
      yield* this.#drafted(session, sequences[0], values[0], kind);
    else yield* this.#together(session, sequences, values, kind);
    const results = sequences.map(({ ids, text, reason, scores }) => ({
      ids,
      text: text?.text,
      reason: reason!,
      score: undefined,
      scores,
    }));
    this.#sequences = this.#prompts.map((_, n) => results.slice(n * copies, (n + 1) * copies));
  }

  #growing(prompt: readonly number[]): Growing {
    const { tokenizer, stops } = this.#extras;
    const text = tokenizer && new SequenceText(tokenizer, stops);
    return { prompt, ids: [], scores: [], reason: undefined, text };
  }

  /** A token of every sequence that goes on, at each step. */
  async *#together(
    session: DecodeSession,
    sequences: readonly Growing[],
    first: readonly (number | Float32Array)[],
    kind: "best" | "scores",
  ): AsyncGenerator<GeneratedToken, undefined> {
    let values = first;
    for (let step = 0; ; step++) {
      const chosen = new Int32Array(sequences.length);
      const counts = new Array<number>(sequences.length).fill(0);
      for (const [n, sequence] of sequences.entries()) {
        if (sequence.reason !== undefined) continue;
        const added = this.#add(sequence, values[n], n, step);
        chosen[n] = added.token;
        if (sequence.reason === undefined) counts[n] = 1;
        yield added;
        this.#extras.signal?.throwIfAborted();
      }
      if (sequences.every(({ reason }) => reason !== undefined)) return;
      const next = await session.step(chosen, counts, kind);
      this.#extras.signal?.throwIfAborted();
      values = sequences.map((_, n) => rowOf(next, n, sequences.length));
    }
  }

  /** A token and a draft of what follows at each step. What was drafted wrongly is cut off the cache again. */
  async *#drafted(
    session: DecodeSession,
    sequence: Growing,
    first: number | Float32Array,
    kind: "best" | "scores",
  ): AsyncGenerator<GeneratedToken, undefined> {
    const { maxNewTokens, promptLookupNumTokens, maxMatchingNgramSize } = this.#settings;
    const { prompt, ids } = sequence;
    let draft: readonly number[] = [];
    /** What each token of the last step gives: row 0 follows the token before the draft. */
    let rows = [first];
    let row = 0;
    for (;;) {
      const added = this.#add(sequence, rows[row], 0, ids.length);
      yield added;
      this.#extras.signal?.throwIfAborted();
      if (sequence.reason !== undefined) return;
      if (row < draft.length && draft[row] === added.token) {
        row++;
        this.#acceptedTokens++;
        continue;
      }
      if (row < draft.length) session.crop(prompt.length + ids.length - 1);
      const left = Math.min(
        maxNewTokens - ids.length,
        this.#model.sizes.maxPositions - prompt.length - ids.length,
      );
      const length = Math.min(promptLookupNumTokens, left - 1);
      draft = lookUp([...prompt, ...ids], maxMatchingNgramSize, length);
      this.#draftTokens += draft.length;
      const read = Int32Array.of(added.token, ...draft);
      const next = await (draft.length === 0 ? session.step(read, [1], kind) : session.stepAll(read, kind));
      this.#extras.signal?.throwIfAborted();
      rows = Array.from(read, (_, i) => rowOf(next, i, read.length));
      row = 0;
    }
  }

  /** Chooses the next token of a sequence, which may end it. */
  #add(sequence: Growing, value: number | Float32Array, n: number, step: number): GeneratedToken {
    const token = this.#choose(sequence, value, n, step);
    sequence.ids.push(token);
    this.#end(sequence, token);
    const isLast = sequence.reason !== undefined;
    if (isLast) sequence.text?.end();
    return { sequence: n, token, text: sequence.text?.take(isLast) };
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
    const { ids, prompt, text } = sequence;
    const isStopped = text?.push(token);
    if (eosTokenId.includes(token)) sequence.reason = "eos";
    else if (isStopped || this.#constrained?.isComplete(ids)) sequence.reason = "stop";
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
      const { text } = this.#growing([]);
      for (const [i, token] of ids.entries()) {
        const isLast = i + 1 === ids.length;
        text?.push(token);
        if (isLast) text?.end();
        yield { sequence, token, text: text?.take(isLast) };
      }
    }
  }
}

/** The best token of row n, or a copy of its scores. */
function rowOf(values: Int32Array | Float32Array, n: number, batch: number): number | Float32Array {
  if (values instanceof Int32Array) return values[n];
  const width = values.length / batch;
  return Float32Array.from(values.subarray(n * width, (n + 1) * width));
}
