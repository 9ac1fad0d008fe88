/** Token classification: the class of each token of a text, or of words and groups of words. */
import { aCount, anArray, checkOptions, type Kinds, oneOf } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { TokenSpan } from "../text/index.js";
import type { Values } from "./encoder.js";
import { best, softmax } from "./scores.js";
import {
  asPipeline,
  configOf,
  maxLengthOf,
  type PipelineMembers,
  runnerOf,
  type TaskContext,
} from "./task.js";
import { placesIn, textsOf, windowsOf } from "./texts.js";

/** A token of a text with its class: the aggregation strategy `none`. The names are those of the original library. */
export interface ClassifiedToken {
  readonly entity: string;
  readonly score: number;
  /** Of the token, the model's own ones counted. */
  readonly index: number;
  readonly word: string;
  /** In UTF-16 units: `text.slice(start, end)`. */
  readonly start: number;
  readonly end: number;
}

/** Neighbouring tokens of one class: all other strategies. */
export interface TokenGroup {
  /** Without `B-` and `I-`. */
  readonly entity_group: string;
  readonly score: number;
  readonly word: string;
  readonly start: number;
  readonly end: number;
}

/** Options of token classification. */
export interface TokenClassificationOptions {
  /**
   * `none`: each token by itself; `simple`: neighbours of one class together; `first`, `average` and `max`: before that, all tokens of a word
   * get the class of its first token, of their average, or of the surest. Default `none`.
   */
  readonly aggregationStrategy?: "none" | "simple" | "first" | "average" | "max";
  /** Classes that are left out. Default ["O"]. */
  readonly ignoreLabels?: readonly string[];
  /** Tokens that the windows of a long text have in common. Without it the end of a long text is left out. */
  readonly stride?: number;
}

type Strategy = NonNullable<TokenClassificationOptions["aggregationStrategy"]>;

const kinds: Kinds<TokenClassificationOptions> = {
  aggregationStrategy: oneOf<Strategy>("none", "simple", "first", "average", "max"),
  ignoreLabels: anArray,
  stride: aCount,
};

type Groups = TokenClassificationOptions & { readonly aggregationStrategy: Exclude<Strategy, "none"> };

/** A pipeline for token classification: a list for each text. */
export interface TokenClassificationPipeline extends PipelineMembers {
  (text: string, options: Groups): Promise<TokenGroup[]>;
  (texts: readonly string[], options: Groups): Promise<TokenGroup[][]>;
  (text: string, options?: TokenClassificationOptions): Promise<ClassifiedToken[]>;
  (texts: readonly string[], options?: TokenClassificationOptions): Promise<ClassifiedToken[][]>;
}

/** A token before classes are chosen. */
interface Scored {
  readonly word: string;
  readonly scores: Float64Array;
  readonly start: number;
  readonly end: number;
  readonly index: number;
  readonly isSubword: boolean;
}

/** A token or a word with its class. */
interface Classified extends Omit<ClassifiedToken, "index"> {
  readonly index?: number;
}

interface Window {
  readonly ids: Int32Array;
  readonly tokenTypes: Int32Array;
  readonly places: readonly (TokenSpan | undefined)[];
}

export function tokenClassification(context: TaskContext): TokenClassificationPipeline {
  const { task, tokenizer, onTruncate } = context;
  const { labels } = configOf(context);
  const runner = runnerOf(context, true);
  const own = tokenizer.assemble([]).ids.length;

  function windows(text: string, index: number, stride: number | undefined): Window[] {
    const spans = tokenizer.spans(text);
    const size = maxLengthOf(context) - own;
    if (stride !== undefined && stride >= size) {
      throw new ArgumentError(`stride is ${stride}, the model takes ${size} tokens of a text at a time`, {
        op: task,
      });
    }
    const ranges =
      stride === undefined ? [[0, Math.min(size, spans.length)]] : windowsOf(spans.length, size, stride);
    if (stride === undefined && spans.length > size) {
      onTruncate({ index, tokens: spans.length + own, kept: size + own });
    }
    return ranges.map(([start, end]) => {
      const part = spans.slice(start, end);
      const row = tokenizer.assemble(part.map(({ id }) => id));
      return { ...row, places: placesIn(row, [part]) };
    });
  }

  /** The tokens of a window with the scores of their classes. */
  function scored(text: string, { ids, places }: Window, { data, shape }: Values): Scored[] {
    return places.flatMap((span, index) => {
      if (span === undefined) return [];
      const { start, end, token } = span;
      const scores = softmax(data.subarray(index * shape[1], (index + 1) * shape[1]));
      if (ids[index] === tokenizer.special.unk?.id) {
        return [{ word: text.slice(start, end), scores, start, end, index, isSubword: false }];
      }
      // As the original: where tokens do not say whether they go on with a word, spaces do.
      const isSubword =
        tokenizer.subwordPrefix !== undefined
          ? token.length !== end - start
          : start > 0 && !text.slice(start - 1, start + 1).includes(" ");
      return [{ word: token, scores, start, end, index, isSubword }];
    });
  }

  const classified = ({ scores, index, word, start, end }: Scored): Classified => {
    const chosen = best(scores);
    return { entity: labels[chosen], score: scores[chosen], index, word, start, end };
  };

  function wordOf(tokens: readonly Scored[], strategy: Strategy): Classified {
    const word = tokenizer.join(tokens.map((token) => token.word));
    const scores =
      strategy === "first"
        ? tokens[0].scores
        : strategy === "max"
          ? tokens.reduce((a, b) => (Math.max(...b.scores) > Math.max(...a.scores) ? b : a)).scores
          : tokens[0].scores.map(
              (_, k) => tokens.reduce((sum, token) => sum + token.scores[k], 0) / tokens.length,
            );
    const chosen = best(scores);
    const [start, end] = [tokens[0].start, tokens[tokens.length - 1].end];
    return { entity: labels[chosen], score: scores[chosen], word, start, end };
  }

  function groupOf(parts: readonly Classified[]): TokenGroup {
    const { entity, start } = parts[0];
    const dash = entity.indexOf("-");
    return {
      entity_group: dash < 0 ? entity : entity.slice(dash + 1),
      score: parts.reduce((sum, { score }) => sum + score, 0) / parts.length,
      word: tokenizer.join(parts.map(({ word }) => word)),
      start,
      end: parts[parts.length - 1].end,
    };
  }

  function aggregated(tokens: readonly Scored[], strategy: Strategy): (Classified | TokenGroup)[] {
    if (strategy === "none") return tokens.map(classified);
    const parts =
      strategy === "simple"
        ? tokens.map(classified)
        : runsOf(tokens, (token) => token.isSubword).map((word) => wordOf(word, strategy));
    return runsOf(parts, (part, before) => continues(part.entity, before.entity)).map(groupOf);
  }

  async function call(given: string | readonly string[], options?: TokenClassificationOptions) {
    const {
      aggregationStrategy: strategy = "none",
      ignoreLabels = ["O"],
      stride,
    } = checkOptions(task, options, kinds);
    if (stride !== undefined && strategy === "none") {
      throw new ArgumentError("windows need an aggregation strategy", {
        op: task,
        hint: 'aggregationStrategy: "simple"',
      });
    }
    const { items, isList } = textsOf(task, given);
    const all = items.map((text, i) => windows(text, i, stride));
    const values = await runner.run(all.flat());
    let at = 0;
    const results = all.map((own, i) => {
      const found = own.flatMap((window) => {
        const tokens = scored(items[i], window, values[at++][0]);
        return aggregated(tokens, strategy).filter(
          (part) => !ignoreLabels.includes("entity" in part ? part.entity : part.entity_group),
        );
      });
      return own.length > 1 ? withoutOverlaps(found as TokenGroup[]) : found;
    });
    return isList ? results : results[0];
  }
  return asPipeline(context, call) as unknown as TokenClassificationPipeline;
}

/** Runs of items: each but the first of a run belongs to the one before it. */
function runsOf<T>(items: readonly T[], belongs: (item: T, before: T) => boolean): T[][] {
  const runs: T[][] = [];
  for (const item of items) {
    const last = runs.at(-1);
    if (last !== undefined && belongs(item, last[last.length - 1])) last.push(item);
    else runs.push([item]);
  }
  return runs;
}

/** Whether a class goes on with that of the token before: `I-PER` after `B-PER`, and classes without `B-` and `I-` after themselves. */
function continues(entity: string, before: string): boolean {
  const tag = (name: string) => (/^[BI]-/.test(name) ? name.slice(2) : name);
  return tag(entity) === tag(before) && !entity.startsWith("B-");
}

/** Of groups of several windows that overlap the longer one, then the surer one. */
function withoutOverlaps(groups: readonly TokenGroup[]): TokenGroup[] {
  const sorted = [...groups].sort((a, b) => a.start - b.start);
  const kept: TokenGroup[] = [];
  for (const group of sorted) {
    const last = kept.at(-1);
    if (last === undefined || !(last.start <= group.start && group.start < last.end)) {
      kept.push(group);
      continue;
    }
    const [length, before] = [group.end - group.start, last.end - last.start];
    if (length > before || (length === before && group.score > last.score)) kept[kept.length - 1] = group;
  }
  return kept;
}
