/** Zero-shot classification: classes that are words. By entailment (Yin et al. 2019), or by the nearness of sentence embeddings. */
import {
  aBoolean,
  aNumber,
  anArray,
  aString,
  check,
  checkOptions,
  either,
  type Kinds,
} from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import { EncoderEmbedding } from "../models/bert/heads.js";
import { ranked, softmax } from "./scores.js";
import {
  asPipeline,
  configOf,
  maxLengthOf,
  type PipelineMembers,
  runnerOf,
  type TaskContext,
} from "./task.js";
import { encodeText, tell, textsOf } from "./texts.js";

/** The classes of a text, the likeliest first. */
export interface ZeroShotResult {
  readonly sequence: string;
  readonly labels: readonly string[];
  readonly scores: readonly number[];
}

/** Options of zero-shot classification. */
export interface ZeroShotOptions {
  /** A sentence with `{}` for the class. Default `This example is {}.`; for embeddings `{}`. */
  readonly hypothesisTemplate?: string;
  /** Whether classes do not exclude each other: each has a score of its own. Default false. */
  readonly multiLabel?: boolean;
  /**
   * For embeddings: what cosines are multiplied with before the softmax. Default 20, with which sentence-transformers trains
   * (MultipleNegativesRankingLoss).
   */
  readonly scale?: number;
}

const kinds: Kinds<ZeroShotOptions> = { hypothesisTemplate: aString, multiLabel: aBoolean, scale: aNumber };

/** A pipeline for zero-shot classification; classes are an array, or a text with commas. */
export interface ZeroShotPipeline extends PipelineMembers {
  (text: string, labels: string | readonly string[], options?: ZeroShotOptions): Promise<ZeroShotResult>;
  (
    texts: readonly string[],
    labels: string | readonly string[],
    options?: ZeroShotOptions,
  ): Promise<ZeroShotResult[]>;
}

/** Scores of the hypotheses for each text. */
type Score = (
  texts: readonly string[],
  hypotheses: readonly string[],
  options: { readonly multiLabel: boolean; readonly scale: number },
) => Promise<Float64Array[]>;

const defaultScale = 20;

export function zeroShot(context: TaskContext): ZeroShotPipeline {
  const { task, model } = context;
  const isEmbedding = model instanceof EncoderEmbedding;
  const score = isEmbedding ? byEmbedding(context) : byEntailment(context);

  async function call(
    given: string | readonly string[],
    labels: string | readonly string[],
    options?: ZeroShotOptions,
  ) {
    const {
      hypothesisTemplate: template = isEmbedding ? "{}" : "This example is {}.",
      multiLabel = false,
      scale = defaultScale,
    } = checkOptions(task, options, kinds);
    const { items, isList } = textsOf(task, given);
    const names = labelsOf(task, labels);
    if (!template.includes("{}"))
      throw new ArgumentError("the template has no {} for the class", { op: task });
    const hypotheses = names.map((name) => template.replace("{}", () => name));
    const all = await score(items, hypotheses, { multiLabel, scale });
    const results = items.map((sequence, i): ZeroShotResult => {
      const order = ranked(all[i]);
      return { sequence, labels: order.map((k) => names[k]), scores: order.map((k) => all[i][k]) };
    });
    return isList ? results : results[0];
  }
  return asPipeline(context, call) as unknown as ZeroShotPipeline;
}

function labelsOf(op: string, given: string | readonly string[]): readonly string[] {
  check(op, "the classes", given, either(aString, anArray));
  const names =
    typeof given === "string"
      ? given
          .split(",")
          .map((name) => name.trim())
          .filter((name) => name !== "")
      : given;
  for (const name of names) check(op, "a class", name, aString);
  if (names.length > 0) return names;
  throw new ArgumentError("there are no classes", { op, hint: '["sport", "food"]' });
}

function byEntailment(context: TaskContext): Score {
  const { task, tokenizer, onTruncate } = context;
  const { labels } = configOf(context);
  const entailment = labels.findIndex((label) => label.toLowerCase().startsWith("entail"));
  if (entailment < 0) {
    throw new ArgumentError(`the model has no class "entailment", but ${labels.join(", ")}`, {
      op: task,
      hint: "give one that was trained on natural language inference, or a sentence embedding",
    });
  }
  const runner = runnerOf(context, false);
  return async (texts, hypotheses, { multiLabel }) => {
    const rows = texts.flatMap((text, i) =>
      hypotheses.map((textPair) => {
        const row = encodeText(task, tokenizer, { text, textPair }, maxLengthOf(context), "onlyFirst");
        tell(row, i, onTruncate);
        return row;
      }),
    );
    const values = await runner.run(rows);
    return texts.map((_, i) => {
      const own = values.slice(i * hypotheses.length, (i + 1) * hypotheses.length).map(([{ data }]) => data);
      if (!multiLabel && hypotheses.length > 1) return softmax(own.map((logits) => logits[entailment]));
      // Entailment against contradiction, which is the first class, or the last if that is entailment.
      return Float64Array.from(own, (logits) => {
        const contradiction = entailment === 0 ? logits.length - 1 : 0;
        return softmax([logits[contradiction], logits[entailment]])[1];
      });
    });
  };
}

function byEmbedding(context: TaskContext): Score {
  const { task, tokenizer, onTruncate } = context;
  const runner = runnerOf(context, false);
  const longest = Math.min(
    maxLengthOf(context),
    configOf(context).embedding.maxLength ?? Number.POSITIVE_INFINITY,
  );
  return async (texts, hypotheses, { multiLabel, scale }) => {
    const rows = [...texts, ...hypotheses].map((text) => encodeText(task, tokenizer, text, longest));
    for (const [i, row] of rows.slice(0, texts.length).entries()) tell(row, i, onTruncate);
    const vectors = (await runner.run(rows)).map(([{ data }]) => data);
    const classes = vectors.slice(texts.length);
    return vectors.slice(0, texts.length).map((vector) => {
      const cosines = Float64Array.from(classes, (other) => cosine(vector, other));
      return multiLabel ? cosines : softmax(cosines.map((value) => scale * value));
    });
  };
}

function cosine(a: Float32Array, b: Float32Array): number {
  let [dot, left, right] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    dot += a[i] * b[i];
    left += a[i] * a[i];
    right += b[i] * b[i];
  }
  return dot / Math.max(Math.sqrt(left * right), 1e-12);
}
