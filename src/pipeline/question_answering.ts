/** Extractive question answering: the part of a text that answers a question. */
import { aBoolean, aCount, aString, check, checkOptions, type Kind, type Kinds } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { TokenSpan } from "../text/index.js";
import type { Values } from "./encoder.js";
import { softmax } from "./scores.js";
import { asPipeline, maxLengthOf, type PipelineMembers, runnerOf, type TaskContext } from "./task.js";
import { placesIn, windowsOf } from "./texts.js";

/** A question about a text. */
export interface Question {
  readonly question: string;
  readonly context: string;
}

/** A part of the context. */
export interface Answer {
  /** The probability of its first token, times that of its last. */
  readonly score: number;
  /** In UTF-16 units: `context.slice(start, end)`. */
  readonly start: number;
  readonly end: number;
  readonly answer: string;
}

/** Options of question answering; the names are those of the original library. */
export interface QuestionAnsweringOptions {
  /** How many answers are returned, the best first. Default 1: one answer instead of a list. */
  readonly topK?: number;
  /** Tokens that the windows of a long context have in common. Default half a window, at most 128. */
  readonly docStride?: number;
  /** Most tokens of an answer. Default 15. */
  readonly maxAnswerLen?: number;
  /** Most tokens of a window with the question. Default 384, or what the model takes. */
  readonly maxSeqLen?: number;
  /** Whether "" may be an answer. Default false. */
  readonly handleImpossibleAnswer?: boolean;
  /** Whether answers begin and end with words. Default true. */
  readonly alignToWords?: boolean;
}

const atLeastOne: Kind = [
  "an integer of at least 1",
  (value) => Number.isSafeInteger(value) && Number(value) >= 1,
];
const kinds: Kinds<QuestionAnsweringOptions> = {
  topK: atLeastOne,
  docStride: aCount,
  maxAnswerLen: atLeastOne,
  maxSeqLen: atLeastOne,
  handleImpossibleAnswer: aBoolean,
  alignToWords: aBoolean,
};

type Several = QuestionAnsweringOptions & { readonly topK: number };

/** A pipeline for question answering. */
export interface QuestionAnsweringPipeline extends PipelineMembers {
  (question: string, context: string, options: Several): Promise<Answer[]>;
  (question: string, context: string, options?: QuestionAnsweringOptions): Promise<Answer>;
  (question: Question, options: Several): Promise<Answer[]>;
  (question: Question, options?: QuestionAnsweringOptions): Promise<Answer>;
  (questions: readonly Question[], options: Several): Promise<Answer[][]>;
  (questions: readonly Question[], options?: QuestionAnsweringOptions): Promise<Answer[]>;
}

const defaultLength = 384;
const mostStride = 128;

/** A window of the context behind the question. */
interface Window {
  readonly ids: Int32Array;
  readonly tokenTypes: Int32Array;
  /** The token's place in the context; undefined for other tokens. */
  readonly places: readonly (TokenSpan | undefined)[];
}

export function questionAnswering(context: TaskContext): QuestionAnsweringPipeline {
  const { task, tokenizer } = context;
  const runner = runnerOf(context, true);

  function windows({ question, context: text }: Question, options: QuestionAnsweringOptions): Window[] {
    if (text === "" || question === "") {
      throw new ArgumentError(`the ${text === "" ? "context" : "question"} is empty`, { op: task });
    }
    const maxSeqLen = Math.min(options.maxSeqLen ?? defaultLength, maxLengthOf(context));
    const stride = options.docStride ?? Math.min(Math.floor(maxSeqLen / 2), mostStride);
    const asked = tokenizer.spans(question);
    const spans = tokenizer.spans(text);
    const size = maxSeqLen - tokenizer.assemble([], []).ids.length - asked.length;
    if (size < 1 || (stride >= size && spans.length > size)) {
      throw new ArgumentError(
        `beside the question there is room for ${Math.max(size, 0)} tokens, with a stride of ${stride}`,
        { op: task, hint: "a shorter question, a smaller docStride, or a larger maxSeqLen" },
      );
    }
    return windowsOf(spans.length, size, stride).map(([start, end]) => {
      const part = spans.slice(start, end);
      const row = tokenizer.assemble(
        asked.map(({ id }) => id),
        part.map(({ id }) => id),
      );
      const places = placesIn(row, [asked, part]).map((span, i) => (row.parts[i] === 1 ? span : undefined));
      return { ...row, places };
    });
  }

  function answersIn(
    { context: text }: Question,
    own: readonly Window[],
    values: readonly Values[][],
    options: QuestionAnsweringOptions,
  ): Answer[] {
    const { topK = 1, maxAnswerLen = 15, handleImpossibleAnswer = false, alignToWords = true } = options;
    const answers: { score: number; start: number; end: number; answer: string }[] = [];
    let least = Number.POSITIVE_INFINITY;
    own.forEach(({ ids, places }, w) => {
      // The first token stands for "no answer".
      const isOpen = (i: number) => places[i] !== undefined || ids[i] === tokenizer.special.cls?.id;
      const [starts, ends] = values[w].map(({ data }) =>
        softmax(data.map((logit, i) => (isOpen(i) ? logit : hidden))),
      );
      least = Math.min(least, starts[0] * ends[0]);
      starts[0] = ends[0] = 0;
      // Some answers are the same one when they are widened to words.
      const wanted = alignToWords ? 2 * topK + 10 : topK;
      for (const { first, last, score } of spansOf(starts, ends, maxAnswerLen, wanted)) {
        if (!isOpen(first) || !isOpen(last)) continue;
        const [start, end] = extentOf(places, first, last, alignToWords);
        const answer = text.slice(start, end);
        const same = answers.find((each) => each.answer.toLowerCase() === answer.toLowerCase());
        if (same) same.score += score;
        else answers.push({ score, start, end, answer });
      }
    });
    if (handleImpossibleAnswer) answers.push({ score: least, start: 0, end: 0, answer: "" });
    return answers.sort((a, b) => b.score - a.score).slice(0, topK);
  }

  async function call(
    given: string | Question | readonly Question[],
    second?: string | QuestionAnsweringOptions,
    third?: QuestionAnsweringOptions,
  ) {
    const isList = Array.isArray(given);
    const isText = typeof given === "string";
    const questions = isList ? given : [isText ? { question: given, context: second as string } : given];
    for (const each of questions) {
      check(task, "the question", each?.question, aString);
      check(task, "the context", each?.context, aString);
    }
    const options = checkOptions(task, isText ? third : (second as QuestionAnsweringOptions), kinds);
    const all = questions.map((question) => windows(question, options));
    const values = await runner.run(all.flat());
    let at = 0;
    const results = all.map((own, i) => {
      const answers = answersIn(questions[i], own, values.slice(at, at + own.length), options);
      at += own.length;
      return options.topK === undefined || options.topK === 1 ? answers[0] : answers;
    });
    return isList ? results : results[0];
  }
  return asPipeline(context, call) as unknown as QuestionAnsweringPipeline;
}

/** The original's logit of tokens that no answer may begin or end with. */
const hidden = -10000;

/** The likeliest spans of at most `longest` tokens. */
function spansOf(starts: Float64Array, ends: Float64Array, longest: number, count: number) {
  const spans: { first: number; last: number; score: number }[] = [];
  for (let first = 0; first < starts.length; first++) {
    for (let last = first; last < Math.min(ends.length, first + longest); last++) {
      spans.push({ first, last, score: starts[first] * ends[last] });
    }
  }
  return spans.sort((a, b) => b.score - a.score).slice(0, count);
}

/** The characters from one token to another; of whole words, as far as they are in the window. */
function extentOf(
  places: readonly (TokenSpan | undefined)[],
  first: number,
  last: number,
  alignToWords: boolean,
): [start: number, end: number] {
  const [from, to] = [places[first], places[last]];
  if (from === undefined || to === undefined) return [from?.start ?? 0, to?.end ?? 0];
  if (!alignToWords) return [from.start, to.end];
  const begin = places.find((span) => span?.word === from.word)!;
  const finish = places.findLast((span) => span?.word === to.word)!;
  return [begin.start, finish.end];
}
