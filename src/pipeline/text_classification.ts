/** Text classification: the classes of a text, or of two that belong together, with their scores. */
import { aCount, check, checkOptions, either, type Kinds, oneOf } from "../core/check.js";
import { sigmoid, softmax } from "./scores.js";
import {
  asPipeline,
  configOf,
  maxLengthOf,
  type PipelineMembers,
  runnerOf,
  type TaskContext,
} from "./task.js";
import { encodeText, type TextPair, tell } from "./texts.js";

/** A class of a text. */
export interface Classification {
  readonly label: string;
  readonly score: number;
}

/** Options of text classification. */
export interface TextClassificationOptions {
  /** How many classes are returned, the best first; null for all. Without it the best one. */
  readonly topK?: number | null;
  /**
   * From logits to scores. Default, by `problem_type` in config.json: `none` for regression, `sigmoid` for classes that do not exclude each
   * other and for a single one, else `softmax`.
   */
  readonly functionToApply?: "softmax" | "sigmoid" | "none";
}

const kinds: Kinds<TextClassificationOptions> = {
  topK: either(aCount, ["null", (value) => value === null]),
  functionToApply: oneOf("softmax", "sigmoid", "none"),
};

/** A pipeline for text classification: without `topK` the best class of each text, with it a list of classes for each. */
export interface TextClassificationPipeline extends PipelineMembers {
  (text: string | TextPair, options?: TextClassificationOptions): Promise<Classification[]>;
  (
    texts: readonly (string | TextPair)[],
    options: TextClassificationOptions & { readonly topK: number | null },
  ): Promise<Classification[][]>;
  (texts: readonly (string | TextPair)[], options?: TextClassificationOptions): Promise<Classification[]>;
}

const functions = { softmax, sigmoid, none: (logits: ArrayLike<number>) => Float64Array.from(logits) };

export function textClassification(context: TaskContext): TextClassificationPipeline {
  const { task, tokenizer, onTruncate } = context;
  const { labels, numLabels, problemType } = configOf(context);
  const runner = runnerOf(context, false);
  const usual =
    problemType === "regression"
      ? "none"
      : problemType === "multi_label_classification" || numLabels === 1
        ? "sigmoid"
        : "softmax";
  async function call(
    given: string | TextPair | readonly (string | TextPair)[],
    options?: TextClassificationOptions,
  ): Promise<Classification[] | Classification[][]> {
    const { topK, functionToApply = usual } = checkOptions(task, options, kinds);
    const isList = Array.isArray(given);
    const texts = (isList ? given : [given]) as readonly (string | TextPair)[];
    for (const text of texts) check(task, "the text", text, aTextOrPair);
    const rows = texts.map((text) => encodeText(task, tokenizer, text, maxLengthOf(context)));
    for (const [i, row] of rows.entries()) tell(row, i, onTruncate);
    const results = (await runner.run(rows)).map(([{ data }]) => {
      const scores = functions[functionToApply](data);
      const all = Array.from(scores, (score, i) => ({ label: labels[i], score }));
      // Equal scores keep the order of the classes.
      all.sort((a, b) => b.score - a.score);
      return all.slice(0, topK === undefined ? 1 : (topK ?? all.length));
    });
    if (!isList) return results[0];
    return topK === undefined ? results.map(([first]) => first) : results;
  }
  return asPipeline(context, call) as unknown as TextClassificationPipeline;
}

/** A text, or { text, textPair }. */
const aTextOrPair = either(
  ["a string", (value) => typeof value === "string"],
  [
    "{ text, textPair }",
    (value) => {
      const { text, textPair } = (value ?? {}) as Partial<TextPair>;
      return typeof text === "string" && typeof textPair === "string";
    },
  ],
);
