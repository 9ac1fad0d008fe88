/** Text generation: prefill, then token by token, greedily, by sampling or by beam search. */
import { check, checkOptions, type Kind } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { CausalModel } from "../models/decoder.js";
import { requireVocabulary } from "../models/tokenizer_match.js";
import { isModule } from "../nn/state.js";
import type { TokenBytes } from "./constrain/vocabulary.js";
import { ContextFullError } from "./errors.js";
import type { GeneratedToken, GenerationResult } from "./result.js";
import { Run } from "./run.js";
import type { TokenText } from "./sequence_text.js";
import { type GenerateOptions, generateKinds, resolveSettings, type SettingOptions } from "./settings.js";

const op = "generate";

/** Tokens as they come, and the result. It runs once: by iteration, of itself or of `text`, or by `finish`. */
export interface Generation extends AsyncIterable<GeneratedToken> {
  /**
   * The text in pieces, of a single sequence: no character and no stop text is ever split or taken back.
   * @throws ArgumentError without a tokenizer, and for several sequences.
   */
  text(): AsyncIterable<string>;
  /** Runs to the end, what is left of it. */
  finish(): Promise<GenerationResult>;
}

const aCausalModel: Kind = [
  "a model that predicts tokens",
  (value) => isModule(value) && typeof (value as Partial<CausalModel>).sizes === "object",
  () => 'fromPretrained(source, { head: "causalLm" }) makes one',
];

/**
 * Generates tokens after one or several prompts, of any lengths. Keys and values are cached, prompts are read in chunks of at most 128 tokens;
 * after the second token nothing is compiled or allocated until a cache has to be doubled. Tokens of beam search come all at its end.
 *
 * `promptLookupNumTokens` drafts tokens from the text so far and reads a draft at once: the same tokens in fewer steps where a text repeats
 * itself.
 *
 * Results do not depend on what else is in the batch. The same seed gives the same tokens on every device, as far as their logits agree.
 *
 * @throws ArgumentError, ContextFullError; from the iteration also the reason of `signal`.
 * @example
 * const source = folder("node_modules/wattgrad/test/fixtures/models/smollm2");
 * const { model, generationConfig } = await fromPretrained<LlamaCausalLm>(source, { device: "wasm" });
 * const generation = generate(model, { inputIds: [5, 7, 11], maxNewTokens: 4, generationConfig });
 * const tokens = [];
 * for await (const { token } of generation) tokens.push(token);
 * const { sequences, settings } = await generation.finish();
 * sequences[0][0].reason; // "length"
 * settings.doSample; // false
 */
export function generate(model: CausalModel, options: GenerateOptions): Generation {
  check(op, "the model", model, aCausalModel);
  const {
    inputIds,
    generationConfig = {},
    ...given
  } = checkOptions(op, options, generateKinds()) as GenerateOptions;
  const { processors, tokenizer, stop, constraint, outputScores, cacheCapacity, signal, ...asked } = given;
  const prompts = promptsOf(inputIds);
  const longest = Math.max(...prompts.map(({ length }) => length));
  const { maxPositions, vocabulary } = model.sizes;
  requireVocabulary(op, tokenizer, vocabulary, "the model");
  if (longest > maxPositions) throw new ContextFullError(longest, maxPositions);
  const stops = typeof stop === "string" ? [stop] : (stop ?? []);
  if (stops.length > 0 && tokenizer === undefined) {
    throw new ArgumentError("stop texts need a tokenizer", { op, hint: "give the option tokenizer" });
  }
  const resolved = resolveSettings(asked as SettingOptions, generationConfig, longest);
  const { numBeams, numReturnSequences, promptLookupNumTokens } = resolved.settings;
  const isSingle = prompts.length === 1 && numReturnSequences === 1;
  if (promptLookupNumTokens > 0 && !(isSingle && numBeams === 1)) {
    throw new ArgumentError("drafts from the prompt are for a single sequence without beams", { op });
  }
  if (constraint !== undefined && (numBeams > 1 || !knowsBytes(tokenizer))) {
    throw new ArgumentError("a constraint needs a tokenizer that knows its tokens' bytes, and no beams", {
      op,
      hint: "the tokenizer of loadTokenizer has bytes(id) and size",
    });
  }
  const run = new Run(model, prompts, resolved, { ...given, stops });
  const tokens = run.tokens();
  return {
    [Symbol.asyncIterator]: () => tokens,
    text: () => {
      if (tokenizer === undefined || !isSingle) {
        throw new ArgumentError("text comes in pieces of a single sequence, with the option tokenizer", {
          op,
        });
      }
      return textOf(tokens);
    },
    async finish() {
      while (!(await tokens.next()).done);
      return run.result();
    },
  };
}

function knowsBytes(tokenizer: GenerateOptions["tokenizer"]): tokenizer is TokenText & TokenBytes {
  return typeof tokenizer?.bytes === "function" && typeof tokenizer.size === "number";
}

async function* textOf(tokens: AsyncIterable<GeneratedToken>): AsyncGenerator<string, undefined> {
  for await (const { text } of tokens) if (text) yield text;
}

/** @throws ArgumentError for prompts that are no lists of ids, or empty. */
function promptsOf(inputIds: GenerateOptions["inputIds"] | undefined): readonly (readonly number[])[] {
  const prompts = (Array.isArray(inputIds?.[0]) ? inputIds : [inputIds]) as readonly (readonly number[])[];
  const isIds = (ids: unknown) =>
    Array.isArray(ids) && ids.length > 0 && ids.every((id) => Number.isSafeInteger(id) && id >= 0);
  if (prompts.every(isIds)) return prompts;
  throw new ArgumentError("inputIds is a list of token ids, or a list of such lists, none of them empty", {
    op,
  });
}
