/**
 * What changes the scores of the next token before one is chosen: functions on host arrays, in the order and with the meaning of the
 * original library (transformers 5.24, generation/logits_process.py). Scores are changed in place; −∞ forbids a token.
 */
import type { LogitsProcessor } from "./processor.js";
import type { Settings } from "./settings.js";

const never = Number.NEGATIVE_INFINITY;

/**
 * The processors of some settings: first those that apply always, then custom ones, then those of sampling.
 *
 * @param vocabulary The number of scores.
 */
export function processorsOf(settings: Settings, custom: readonly LogitsProcessor[] = []): LogitsProcessor[] {
  const { eosTokenId: eos } = settings;
  const list: (LogitsProcessor | false | undefined)[] = [
    settings.sequenceBias && sequenceBias(settings.sequenceBias),
    settings.repetitionPenalty !== 1 && repetitionPenalty(settings.repetitionPenalty),
    settings.noRepeatNgramSize > 0 && noRepeatNgram(settings.noRepeatNgramSize),
    settings.badWordsIds && badWords(settings.badWordsIds, eos),
    settings.minLength > 0 && minLength(settings.minLength, eos),
    settings.minNewTokens > 0 && minNewTokens(settings.minNewTokens, eos),
    settings.forcedBosTokenId !== undefined && forcedBos(settings.forcedBosTokenId),
    settings.forcedEosTokenId && forcedEos(settings.forcedEosTokenId, settings.maxNewTokens),
    settings.removeInvalidValues && removeInvalid,
    settings.exponentialDecayLengthPenalty && exponentialDecay(settings.exponentialDecayLengthPenalty, eos),
    settings.suppressTokens && suppress(settings.suppressTokens),
    settings.beginSuppressTokens &&
      beginSuppress(settings.beginSuppressTokens, settings.forcedBosTokenId !== undefined),
    ...custom,
  ];
  if (settings.doSample) {
    list.push(
      settings.temperature !== 1 && temperature(settings.temperature),
      settings.topK > 0 && topK(settings.topK),
      settings.topP < 1 && topP(settings.topP),
      settings.minP !== undefined && minP(settings.minP),
      settings.typicalP < 1 && typical(settings.typicalP),
      settings.epsilonCutoff > 0 && epsilonCutoff(settings.epsilonCutoff),
      settings.etaCutoff > 0 && etaCutoff(settings.etaCutoff),
    );
  }
  list.push(settings.renormalizeLogits && renormalize);
  return list.filter((processor) => typeof processor === "function");
}

/** Adds a bias to the last token of each sequence whose other tokens are at the end of the context. */
function sequenceBias(biases: readonly (readonly [ids: readonly number[], bias: number])[]): LogitsProcessor {
  return (scores, { ids }) => {
    for (const [sequence, bias] of biases) {
      const before = sequence.length - 1;
      const start = ids.length - before;
      if (start < 0 || sequence.some((id, i) => i < before && ids[start + i] !== id)) continue;
      scores[sequence[before]] += bias;
    }
  };
}

function badWords(words: readonly (readonly number[])[], eos: readonly number[]): LogitsProcessor {
  const others = words.filter((word) => !(word.length === 1 && eos.includes(word[0])));
  return sequenceBias(others.map((word) => [word, never]));
}

/** Keskar et al. 2019: a token that occurred, in the prompt too, loses. */
function repetitionPenalty(penalty: number): LogitsProcessor {
  return (scores, { ids }) => {
    for (const id of new Set(ids)) {
      if (id < scores.length) scores[id] = scores[id] < 0 ? scores[id] * penalty : scores[id] / penalty;
    }
  };
}

function noRepeatNgram(size: number): LogitsProcessor {
  return (scores, { ids }) => {
    const start = ids.length + 1 - size;
    for (let at = 0; at + size <= ids.length; at++) {
      let same = true;
      for (let i = 0; i < size - 1 && same; i++) same = ids[at + i] === ids[start + i];
      if (same) scores[ids[at + size - 1]] = never;
    }
  };
}

function forbid(scores: Float32Array, ids: readonly number[]): void {
  for (const id of ids) if (id < scores.length) scores[id] = never;
}

/** Of prompt and output together. */
function minLength(length: number, eos: readonly number[]): LogitsProcessor {
  return (scores, { ids }) => {
    if (ids.length < length) forbid(scores, eos);
  };
}

function minNewTokens(count: number, eos: readonly number[]): LogitsProcessor {
  return (scores, { ids, promptLength }) => {
    if (ids.length - promptLength < count) forbid(scores, eos);
  };
}

function force(scores: Float32Array, ids: readonly number[]): void {
  scores.fill(never);
  for (const id of ids) scores[id] = 0;
}

/** After a prompt of one token. */
function forcedBos(id: number): LogitsProcessor {
  return (scores, { ids }) => {
    if (ids.length === 1) force(scores, [id]);
  };
}

function forcedEos(eos: readonly number[], maxNewTokens: number): LogitsProcessor {
  return (scores, { ids, promptLength }) => {
    if (ids.length - promptLength === maxNewTokens - 1) force(scores, eos);
  };
}

const largest = 3.4028234663852886e38;

const removeInvalid: LogitsProcessor = (scores) => {
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i];
    scores[i] = Number.isNaN(score) ? 0 : Math.min(Math.max(score, -largest), largest);
  }
};

/** The end becomes more likely by a factor for each token after `start`. */
function exponentialDecay(
  [start, factor]: readonly [number, number],
  eos: readonly number[],
): LogitsProcessor {
  return (scores, { ids, promptLength }) => {
    const after = ids.length - promptLength - start;
    if (after <= 0) return;
    for (const id of eos) {
      if (Number.isFinite(scores[id])) scores[id] += Math.abs(scores[id]) * (factor ** after - 1);
    }
  };
}

function suppress(tokens: readonly number[]): LogitsProcessor {
  return (scores) => forbid(scores, tokens);
}

/** For the first new token; the second if the first is forced. */
function beginSuppress(tokens: readonly number[], isFirstForced: boolean): LogitsProcessor {
  return (scores, { ids, promptLength }) => {
    const begin = promptLength + (isFirstForced && promptLength <= 1 ? 1 : 0);
    if (ids.length === begin) forbid(scores, tokens);
  };
}

function temperature(t: number): LogitsProcessor {
  return (scores) => {
    for (let i = 0; i < scores.length; i++) scores[i] /= t;
  };
}

/** Softmax in float64. */
export function probabilitiesOf(scores: Float32Array): Float64Array {
  const result = new Float64Array(scores.length);
  let most = never;
  for (const score of scores) if (score > most) most = score;
  let sum = 0;
  for (let i = 0; i < scores.length; i++) sum += result[i] = Math.exp(scores[i] - most);
  for (let i = 0; i < scores.length; i++) result[i] /= sum;
  return result;
}

/** Log-softmax in place: each step of beam search begins with it. */
export function renormalize(scores: Float32Array): void {
  let most = never;
  for (const score of scores) if (score > most) most = score;
  let sum = 0;
  for (const score of scores) sum += Math.exp(score - most);
  const shift = most + Math.log(sum);
  for (let i = 0; i < scores.length; i++) scores[i] -= shift;
}

/** Positions from the largest to the smallest key. */
function descending(keys: Float32Array | Float64Array): Uint32Array {
  return Uint32Array.from(keys, (_, i) => i).sort((a, b) => keys[b] - keys[a]);
}

/** The k-th largest value. */
function kthLargest(values: Float32Array | Float64Array, k: number): number {
  return values.slice().sort()[Math.max(0, values.length - k)];
}

function topK(k: number): LogitsProcessor {
  return (scores) => {
    const least = kthLargest(scores, k);
    for (let i = 0; i < scores.length; i++) if (scores[i] < least) scores[i] = never;
  };
}

/** Holtzman et al. 2020: the smallest set of tokens with the probability `mass`. */
function topP(mass: number): LogitsProcessor {
  return (scores) => {
    const order = descending(scores);
    const probabilities = probabilitiesOf(scores);
    // From the least likely on, while what was removed has at most 1 − mass.
    let removed = 0;
    for (let rank = order.length - 1; rank > 0; rank--) {
      removed += probabilities[order[rank]];
      if (removed > 1 - mass) break;
      scores[order[rank]] = never;
    }
  };
}

/** Nguyen et al. 2024: tokens of at least `share` of the probability of the likeliest. */
function minP(share: number): LogitsProcessor {
  return (scores) => {
    const probabilities = probabilitiesOf(scores);
    const least = share * probabilities.reduce((a, b) => Math.max(a, b), 0);
    for (let i = 0; i < scores.length; i++) if (probabilities[i] < least) scores[i] = never;
  };
}

/** Meister et al. 2023: tokens whose information is nearest the entropy, up to the probability `mass`. */
function typical(mass: number): LogitsProcessor {
  return (scores) => {
    const probabilities = probabilitiesOf(scores);
    let entropy = 0;
    for (const p of probabilities) if (p > 0) entropy -= p * Math.log(p);
    const distance = probabilities.map((p) => -Math.abs(-Math.log(p) - entropy));
    const order = descending(distance);
    let sum = 0;
    let last = 0;
    while (last < order.length - 1) {
      sum += probabilities[order[last]];
      if (!(sum < mass)) break;
      last++;
    }
    const furthest = distance[order[last]];
    for (const i of order.subarray(1)) if (distance[i] < furthest) scores[i] = never;
  };
}

/** Forbids tokens below a probability, the likeliest excepted. */
function cutOff(leastOf: (probabilities: Float64Array) => number): LogitsProcessor {
  return (scores) => {
    const probabilities = probabilitiesOf(scores);
    const least = leastOf(probabilities);
    const best = scores.reduce((a, b) => Math.max(a, b), never);
    for (let i = 0; i < scores.length; i++) {
      if (probabilities[i] < least && scores[i] < best) scores[i] = never;
    }
  };
}

/** Hewitt et al. 2022. */
function epsilonCutoff(epsilon: number): LogitsProcessor {
  return cutOff(() => epsilon);
}

/** Hewitt et al. 2022: the threshold falls with the entropy. */
function etaCutoff(epsilon: number): LogitsProcessor {
  return cutOff((probabilities) => {
    let entropy = 0;
    for (const p of probabilities) if (p > 0) entropy -= p * Math.log(p);
    return Math.min(epsilon, Math.sqrt(epsilon) * Math.exp(-entropy));
  });
}
