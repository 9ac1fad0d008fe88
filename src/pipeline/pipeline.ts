/** Tasks by name: a model and its tokenizer as one function. */
import {
  aCount,
  aFunction,
  anObject,
  aString,
  check,
  checkOptions,
  type Kinds,
  nearestName,
} from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import { deviceOrName } from "../device/select.js";
import type { Head } from "../models/index.js";
import { aQuantization } from "../models/options.js";
import { type FeatureExtractionPipeline, featureExtraction } from "./feature_extraction.js";
import { type FillMaskPipeline, fillMask } from "./fill_mask.js";
import { type LoadOptions, loadForTask, type ModelInput } from "./load.js";
import { type QuestionAnsweringPipeline, questionAnswering } from "./question_answering.js";
import type { TaskContext } from "./task.js";
import { type TextClassificationPipeline, textClassification } from "./text_classification.js";
import { type TextGenerationPipeline, textGeneration } from "./text_generation.js";
import type { OnTruncate, Truncation } from "./texts.js";
import { type TokenClassificationPipeline, tokenClassification } from "./token_classification.js";
import { type ZeroShotPipeline, zeroShot } from "./zero_shot.js";

/** The pipelines by the names of their tasks. */
export interface Pipelines {
  "text-generation": TextGenerationPipeline;
  "fill-mask": FillMaskPipeline;
  "text-classification": TextClassificationPipeline;
  "token-classification": TokenClassificationPipeline;
  "question-answering": QuestionAnsweringPipeline;
  "feature-extraction": FeatureExtractionPipeline;
  "zero-shot-classification": ZeroShotPipeline;
  /** Another name of `text-classification`. */
  "sentiment-analysis": TextClassificationPipeline;
  /** Another name of `token-classification`. */
  ner: TokenClassificationPipeline;
}

/** The name of a task. */
export type TaskName = keyof Pipelines;

interface Task<P> {
  /** The model's head; undefined: that of its files, one of `heads`. */
  readonly head: Head | undefined;
  readonly heads?: readonly Head[];
  readonly make: (context: TaskContext) => P;
}

/** All tasks, one line each. */
const tasks: { readonly [T in TaskName]: Task<Pipelines[T]> } = {
  "text-generation": { head: "causalLm", make: textGeneration },
  "fill-mask": { head: "maskedLm", make: fillMask },
  "text-classification": { head: "sequence", make: textClassification },
  "token-classification": { head: "tokens", make: tokenClassification },
  "question-answering": { head: "question", make: questionAnswering },
  "feature-extraction": { head: "none", make: featureExtraction },
  "zero-shot-classification": { head: undefined, heads: ["sequence", "embedding"], make: zeroShot },
  "sentiment-analysis": { head: "sequence", make: textClassification },
  ner: { head: "tokens", make: tokenClassification },
};

/**
 * The names of all tasks.
 *
 * @example
 * taskNames.includes("fill-mask"); // true
 */
export const taskNames = Object.keys(tasks) as readonly TaskName[];

/** The first task of each head. */
const taskOf: ReadonlyMap<Head, TaskName> = new Map(
  [...taskNames].reverse().flatMap((name) => (tasks[name].head ? [[tasks[name].head, name] as const] : [])),
);

/** Options of `pipeline`. */
export interface PipelineOptions extends LoadOptions {
  /** Most texts that the model gets at a time. Default 8. */
  readonly batchSize?: number;
  /** Called for a text whose end is left out, as the model takes no more. Default: one line by `console.warn`. */
  readonly onTruncate?: OnTruncate;
}

const kinds = (): Kinds<PipelineOptions> => ({
  device: deviceOrName,
  quantization: aQuantization,
  onProgress: aFunction,
  signal: anObject,
  hub: anObject,
  batchSize: ["an integer of at least 1", (value) => aCount[1](value) && Number(value) > 0],
  onTruncate: aFunction,
});

const op = "pipeline";
const defaultBatch = 8;

/**
 * A model with a task as one function, as transformers and transformers.js have it: names of tasks, results and options are theirs, options
 * in camelCase. `model` is a folder, a URL, `hub:organisation/name`, a source of `wattgrad/hub`, or `{ model, tokenizer }` in memory.
 *
 * `text-generation` takes texts and chats; `fill-mask`, `text-classification` (`sentiment-analysis`), `token-classification` (`ner`),
 * `question-answering`, `feature-extraction` and `zero-shot-classification` (by entailment, or by a sentence embedding) take one text
 * or several, which are computed in batches. Texts that are longer than the model takes lose their end, and `onTruncate` says so.
 *
 * @throws ArgumentError for an unknown task, a model without the task's head or without a tokenizer, and a tokenizer of another model;
 * what `fromPretrained` throws.
 * @example
 * const folder = "node_modules/wattgrad/test/fixtures/models/bert_sequence";
 * const classify = await pipeline("text-classification", folder, { device: "wasm" });
 * (await classify("the cat sat")).length; // 1
 * classify.dispose();
 */
export async function pipeline<T extends TaskName>(
  task: T,
  model: ModelInput,
  options: PipelineOptions = {},
): Promise<Pipelines[T]> {
  check(op, "the task", task, aString);
  if (!Object.hasOwn(tasks, task)) {
    const nearest = nearestName(task, taskNames);
    const hint = `${nearest === undefined ? "" : `did you mean ${nearest}? `}Tasks are ${taskNames.join(", ")}`;
    throw new ArgumentError(`there is no task "${task.slice(0, 40)}"`, { op, hint });
  }
  const { head, heads, make } = tasks[task];
  const {
    batchSize = defaultBatch,
    onTruncate = warn(task),
    ...loading
  } = checkOptions(op, options, kinds());
  const loaded = await loadForTask(op, task, model, head, loading as LoadOptions, taskOf);
  try {
    if (loaded.head !== undefined && heads !== undefined && !heads.includes(loaded.head)) {
      throw new ArgumentError(`the model has the head ${loaded.head}; ${task} needs ${heads.join(" or ")}`, {
        op,
        hint: taskOf.has(loaded.head) ? `it is made for ${taskOf.get(loaded.head)}` : undefined,
      });
    }
    return make({ ...loaded, task, batchSize, onTruncate });
  } catch (error) {
    loaded.dispose();
    throw error;
  }
}

/** Says once that a text was too long. */
function warn(task: string): OnTruncate {
  let isSaid = false;
  return ({ index, tokens, kept }: Truncation) => {
    if (isSaid) return;
    isSaid = true;
    console.warn(
      `${task}: text ${index} has ${tokens} tokens, of which the model takes ${kept}; the rest is left out`,
    );
  };
}
