/** Beam search of one prompt, with the scores and the end that the original library has (generation/utils.py, `_beam_search`). */
import type { Settings } from "./settings.js";

interface Beam {
  /** What was generated. */
  readonly ids: readonly number[];
  /** Sum of the log-probabilities. */
  readonly score: number;
}

/** A sequence that has ended; its score is divided by length^lengthPenalty. */
export interface FinishedBeam extends Beam {
  readonly isFinished: boolean;
}

/** How much a beam loses that must not be chosen. */
const penalty = -1e9;

interface Candidate extends Beam {
  /** The beam that it continues. */
  readonly from: number;
  readonly ends: boolean;
}

export class BeamSearch {
  readonly #settings: Settings;
  #running: readonly Beam[];
  #finished: readonly FinishedBeam[];
  #isDone = false;

  constructor(settings: Settings) {
    this.#settings = settings;
    const beams = Array.from({ length: settings.numBeams }, (_, i) => i);
    // All beams begin with the same tokens: only the first counts.
    this.#running = beams.map((i) => ({ ids: [], score: i === 0 ? 0 : penalty }));
    this.#finished = beams.map(() => ({ ids: [], score: penalty, isFinished: false }));
  }

  get isDone(): boolean {
    return this.#isDone;
  }

  /** What each beam has generated. */
  get running(): readonly Beam[] {
    return this.#running;
  }

  /** The best sequences first. */
  get finished(): readonly FinishedBeam[] {
    return this.#finished;
  }

  /**
   * One token more: `scores[b]` are the processed log-probabilities after beam b.
   * @returns For each beam the one that it continues.
   */
  advance(scores: readonly Float32Array[]): number[] {
    const { numBeams, eosTokenId, maxNewTokens, lengthPenalty, earlyStopping } = this.#settings;
    const length = this.#running[0].ids.length + 1;
    const kept = Math.max(2, 1 + eosTokenId.length) * numBeams;
    const candidates: Candidate[] = topOf(scores, this.#running, kept).map(({ from, id, score }) => ({
      ids: [...this.#running[from].ids, id],
      score,
      from,
      ends: eosTokenId.includes(id) || length >= maxNewTokens,
    }));
    const open = best(
      candidates.map((candidate) => ({
        ...candidate,
        score: candidate.score + (candidate.ends ? penalty : 0),
      })),
      numBeams,
    );
    // Only the first numBeams candidates may end; the others are there so that enough go on.
    const isFull = earlyStopping === true && this.#finished.every(({ isFinished }) => isFinished);
    const ended = candidates.map((candidate, rank): FinishedBeam => {
      const isFinished = candidate.ends && rank < numBeams;
      const score =
        candidate.score / length ** lengthPenalty + (isFull ? penalty : 0) + (isFinished ? 0 : penalty);
      return { ids: candidate.ids, score, isFinished };
    });
    this.#running = open;
    this.#finished = best([...this.#finished, ...ended], numBeams);
    this.#isDone = this.#hasEnded(
      length,
      candidates.every(({ ends }) => ends),
    );
    return open.map(({ from }) => from);
  }

  #hasEnded(length: number, isStopped: boolean): boolean {
    const { earlyStopping, lengthPenalty, maxNewTokens } = this.#settings;
    const isFull = this.#finished.every(({ isFinished }) => isFinished);
    if (isStopped || (earlyStopping === true && isFull)) return true;
    const longest = earlyStopping === "never" && lengthPenalty > 0 ? maxNewTokens : length;
    const bestPossible = this.#running[0].score / longest ** lengthPenalty;
    const worst = Math.min(...this.#finished.map(({ score }) => score));
    return !this.#finished.some(({ isFinished }) => bestPossible > (isFinished ? worst : penalty));
  }
}

function best<B extends { readonly score: number }>(beams: readonly B[], count: number): B[] {
  return beams.toSorted((a, b) => b.score - a.score).slice(0, count);
}

/** The `count` largest sums of a beam's score and that of a token. */
function topOf(
  scores: readonly Float32Array[],
  beams: readonly Beam[],
  count: number,
): { from: number; id: number; score: number }[] {
  const top: { from: number; id: number; score: number }[] = [];
  scores.forEach((row, from) => {
    for (let id = 0; id < row.length; id++) {
      const score = beams[from].score + row[id];
      if (top.length === count && !(score > top[count - 1].score)) continue;
      let at = top.length === count ? count - 1 : top.length;
      while (at > 0 && top[at - 1].score < score) at--;
      if (top.length === count) top.pop();
      top.splice(at, 0, { from, id, score });
    }
  });
  return top;
}
