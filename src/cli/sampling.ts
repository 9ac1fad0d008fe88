/** Options of commands that generate text: how much, and how tokens are chosen. */
import { type Command, InvalidArgumentError } from "commander";
import { printable } from "../core/errors.js";
import type { SettingOptions } from "../generation/index.js";
import { integerFrom, positiveNumber } from "./options.js";

export interface SamplingOptions {
  readonly maxNewTokens: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly repetitionPenalty?: number;
  readonly stop: readonly string[];
  readonly seed?: number;
}

function probability(text: string): number {
  const value = positiveNumber(text);
  if (value > 1) throw new InvalidArgumentError("It must be a number above 0 and up to 1.");
  return value;
}

/** @param tokens Default of `--max-new-tokens`. */
export function withSamplingOptions(command: Command, tokens: number): Command {
  return command
    .option("--max-new-tokens <n>", "tokens to generate at most", integerFrom(1), tokens)
    .option(
      "--temperature <t>",
      "sample, with logits divided by t (default: the model's own, else greedy)",
      (text) => (text.trim() === "0" ? 0 : positiveNumber(text)),
    )
    .option("--top-k <k>", "sample among the k most probable tokens", integerFrom(0))
    .option(
      "--top-p <p>",
      "sample among the most probable tokens that have probability p together",
      probability,
    )
    .option("--repetition-penalty <x>", "divide the scores of tokens that are there already", positiveNumber)
    .option(
      "--stop <text>",
      "end at this text (may be repeated)",
      (text, before: readonly string[]) => [...before, text],
      [],
    )
    .option("--seed <n>", "sample with this seed", integerFrom(0));
}

/** The settings that were given; those that were not are the model's. */
export function settingsOf(options: SamplingOptions): SettingOptions & { readonly stop?: readonly string[] } {
  const { maxNewTokens, temperature, topK, topP, repetitionPenalty, seed, stop } = options;
  return {
    maxNewTokens,
    ...(temperature !== undefined && { temperature }),
    ...(topK !== undefined && { topK }),
    ...(topP !== undefined && { topP }),
    ...(repetitionPenalty !== undefined && { repetitionPenalty }),
    ...(seed !== undefined && { seed }),
    ...(stop.length > 0 && { stop }),
  };
}

/** A terminal gets no control characters from a model; a pipe gets the text as it is. */
export function textFor(stream: NodeJS.WriteStream, text: string): string {
  return stream.isTTY ? printable(text) : text;
}
