/** What all tasks share: their context, and the members of a pipeline beside the call. */
import { ArgumentError } from "../core/errors.js";
import type { Tensor } from "../graph/tensor.js";
import type { Module } from "../nn/module.js";
import type { Tokenizer } from "../text/index.js";
import { EncoderRunner, type Forward } from "./encoder.js";
import type { TaskConfig, TaskModel } from "./load.js";
import type { OnTruncate } from "./texts.js";

/** Members that every pipeline has. */
export interface PipelineMembers {
  /** The name of the task. */
  readonly task: string;
  readonly model: Module;
  readonly tokenizer: Tokenizer;
  /** Frees the weights, unless the model was in memory before. The pipeline cannot be used afterwards. */
  dispose(): void;
}

/** What a task is made of. */
export interface TaskContext extends TaskModel {
  readonly task: string;
  readonly batchSize: number;
  readonly onTruncate: OnTruncate;
}

type AnyFunction = (...given: never[]) => unknown;

/**
 * Makes a pipeline of a function, and methods beside it. Calls after `dispose` are refused; one that runs then fails with the same
 * error.
 */
export function asPipeline<F extends AnyFunction, M extends Readonly<Record<string, AnyFunction>>>(
  { task, model, tokenizer, dispose }: TaskContext,
  call: F,
  methods?: M,
): F & M & PipelineMembers {
  let isDisposed = false;
  const requireUsable = (cause?: unknown) => {
    if (isDisposed) throw new ArgumentError("the pipeline was disposed", { op: task, cause });
  };
  const guarded = async (...given: Parameters<F>) => {
    requireUsable();
    try {
      return await call(...given);
    } catch (error) {
      requireUsable(error);
      throw error;
    }
  };
  const others = Object.entries(methods ?? {}).map(([name, method]) => [
    name,
    (...given: never[]) => {
      requireUsable();
      return method(...given);
    },
  ]);
  const members: PipelineMembers = {
    task,
    model,
    tokenizer,
    dispose: () => {
      isDisposed = true;
      dispose();
    },
  };
  return Object.assign(guarded, members, Object.fromEntries(others)) as unknown as F & M & PipelineMembers;
}

/** @throws ArgumentError for a model in memory whose configuration is not known. */
export function configOf({ task, config }: TaskContext): TaskConfig {
  if (config !== undefined) return config;
  throw new ArgumentError("the model's configuration is needed", {
    op: task,
    hint: "{ ...await fromPretrained(source), tokenizer }",
  });
}

/** Most tokens of a row: what the tokenizer says, at most as many as the model has positions for. */
export function maxLengthOf(context: TaskContext): number {
  const { maxPositions, firstPosition = 0 } = configOf(context);
  return Math.min(context.tokenizer.maxLength ?? Number.POSITIVE_INFINITY, maxPositions - firstPosition);
}

type EncoderLike = (tokens: Tensor, call: Parameters<Forward>[1]) => unknown;

/** Runs the model, or with `forward` something else that is computed by it. */
export function runnerOf(context: TaskContext, perToken: boolean, forward?: Forward): EncoderRunner {
  const { model, batchSize, tokenizer, task } = context;
  const { maxPositions, firstPosition = 0, typeVocabulary = 0 } = configOf(context);
  const call: Forward = (tokens, options) => {
    const run = model.forward.bind(model) as EncoderLike;
    const result = run(tokens, options);
    const { start, end } = result as { start?: Tensor; end?: Tensor };
    return start !== undefined && end !== undefined && Array.isArray(start.shape)
      ? [start, end]
      : [result as Tensor];
  };
  if (typeof model.forward !== "function") throw new ArgumentError("the model has no forward", { op: task });
  return new EncoderRunner(model, forward ?? call, {
    batchSize,
    maxLength: maxPositions - firstPosition,
    pad: tokenizer.special.pad?.id ?? 0,
    perToken,
    hasTypes: typeVocabulary > 1,
  });
}
