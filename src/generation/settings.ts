/** What generation can be told, and where it comes from: the call's options, generation_config.json, defaults. */
import {
  aBoolean,
  aCount,
  aFunction,
  aNumber,
  anArray,
  anObject,
  checkOptions,
  either,
  type Kind,
  type Kinds,
  oneOf,
} from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import { Constraint } from "./constrain/constraint.js";
import type { TokenBytes } from "./constrain/vocabulary.js";
import type { LogitsProcessor } from "./processor.js";
import type { TokenText } from "./sequence_text.js";

/** The settings in effect. Names are those of the original library in camelCase. */
export interface Settings {
  readonly maxNewTokens: number;
  /** Of prompt and output; 0 for none. */
  readonly minLength: number;
  readonly minNewTokens: number;
  readonly doSample: boolean;
  readonly temperature: number;
  /** 0 for all. */
  readonly topK: number;
  readonly topP: number;
  readonly minP: number | undefined;
  readonly typicalP: number;
  readonly epsilonCutoff: number;
  readonly etaCutoff: number;
  readonly repetitionPenalty: number;
  /** 0 for none. */
  readonly noRepeatNgramSize: number;
  readonly badWordsIds: readonly (readonly number[])[] | undefined;
  readonly sequenceBias: readonly (readonly [ids: readonly number[], bias: number])[] | undefined;
  readonly forcedBosTokenId: number | undefined;
  readonly forcedEosTokenId: readonly number[] | undefined;
  readonly suppressTokens: readonly number[] | undefined;
  readonly beginSuppressTokens: readonly number[] | undefined;
  readonly exponentialDecayLengthPenalty: readonly [start: number, factor: number] | undefined;
  readonly removeInvalidValues: boolean;
  readonly renormalizeLogits: boolean;
  readonly numBeams: number;
  readonly numReturnSequences: number;
  readonly lengthPenalty: number;
  readonly earlyStopping: boolean | "never";
  readonly eosTokenId: readonly number[];
  readonly seed: number;
  /**
   * Most tokens of a draft that is taken from the text so far and checked in one step; the tokens are the same as without. 0 for none. For a
   * single sequence. 7 fill the shortest chunk.
   */
  readonly promptLookupNumTokens: number;
  /** How many of the last tokens are looked for, at most. */
  readonly maxMatchingNgramSize: number;
}

type OrList<T> = T | readonly number[];

/** The same as given by a caller: everything may be left out. */
export type SettingOptions = {
  readonly [K in keyof Settings]?: K extends "eosTokenId" | "forcedEosTokenId" ? OrList<number> : Settings[K];
};

const defaults: Omit<Settings, "doSample" | "seed"> = {
  maxNewTokens: 20,
  minLength: 0,
  minNewTokens: 0,
  temperature: 1,
  topK: 50,
  topP: 1,
  minP: undefined,
  typicalP: 1,
  epsilonCutoff: 0,
  etaCutoff: 0,
  repetitionPenalty: 1,
  noRepeatNgramSize: 0,
  badWordsIds: undefined,
  sequenceBias: undefined,
  forcedBosTokenId: undefined,
  forcedEosTokenId: undefined,
  suppressTokens: undefined,
  beginSuppressTokens: undefined,
  exponentialDecayLengthPenalty: undefined,
  removeInvalidValues: false,
  renormalizeLogits: false,
  numBeams: 1,
  numReturnSequences: 1,
  lengthPenalty: 1,
  earlyStopping: false,
  eosTokenId: [],
  promptLookupNumTokens: 0,
  maxMatchingNgramSize: 2,
};

const idOrIds = either(aCount, anArray);
const between = (low: number, high: number, isLowIncluded = true): Kind => [
  `a number from ${low} to ${high}`,
  (value) => typeof value === "number" && value <= high && (isLowIncluded ? value >= low : value > low),
];
const aPositive: Kind = ["a number above 0", (value) => typeof value === "number" && value > 0];
const atLeastOne: Kind = [
  "an integer of at least 1",
  (value) => Number.isSafeInteger(value) && Number(value) >= 1,
];

export const settingKinds: Kinds<SettingOptions> = {
  maxNewTokens: atLeastOne,
  minLength: aCount,
  minNewTokens: aCount,
  doSample: aBoolean,
  temperature: ["a number of at least 0", (value) => typeof value === "number" && value >= 0],
  topK: aCount,
  topP: between(0, 1),
  minP: between(0, 1),
  typicalP: between(0, 1, false),
  epsilonCutoff: between(0, 1),
  etaCutoff: between(0, 1),
  repetitionPenalty: aPositive,
  noRepeatNgramSize: aCount,
  badWordsIds: anArray,
  sequenceBias: anArray,
  forcedBosTokenId: aCount,
  forcedEosTokenId: idOrIds,
  suppressTokens: anArray,
  beginSuppressTokens: anArray,
  exponentialDecayLengthPenalty: anArray,
  removeInvalidValues: aBoolean,
  renormalizeLogits: aBoolean,
  numBeams: atLeastOne,
  numReturnSequences: atLeastOne,
  lengthPenalty: aNumber,
  earlyStopping: either(aBoolean, oneOf("never")),
  eosTokenId: idOrIds,
  seed: aCount,
  promptLookupNumTokens: aCount,
  maxMatchingNgramSize: atLeastOne,
};

/** Keys of generation_config.json that change no token here: special ids that only texts need, caches, what is returned. */
const withoutEffect =
  /^(transformers_version|_from_model_config|pad_token_id|bos_token_id|decoder_start_token_id|use_cache|cache_implementation|cache_config|return_dict_in_generate|output_\w+|max_time|low_memory|max_length|is_assistant|disable_compile|compile_config)$/;

/** Settings and the keys of generation_config.json that would change tokens and are not supported. */
export interface Resolved {
  readonly settings: Settings;
  readonly unknown: readonly string[];
}

/** Any of these asks for sampling. */
const samplingOptions = [
  "temperature",
  "topK",
  "topP",
  "minP",
  "typicalP",
  "epsilonCutoff",
  "etaCutoff",
  "seed",
] as const;

const camel = (key: string) => key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
const listOf = (ids: OrList<number>): readonly number[] => (typeof ids === "number" ? [ids] : ids);

/**
 * The settings of a call. What it leaves out is that of generation_config.json, then the default. Without `doSample`, options of sampling
 * ask for it; `temperature: 0` is greedy.
 *
 * @param longestPrompt For `max_length` of the file, which counts the prompt.
 * @throws ArgumentError
 */
export function resolveSettings(
  options: SettingOptions,
  file: Readonly<Record<string, unknown>>,
  longestPrompt: number,
): Resolved {
  const op = "generate";
  const fromFile: Record<string, unknown> = {};
  const unknown: string[] = [];
  for (const [key, value] of Object.entries(file)) {
    if (value === null || value === undefined) continue;
    const name = camel(key);
    if (Object.hasOwn(settingKinds, name)) fromFile[name] = value;
    else if (!withoutEffect.test(key)) unknown.push(key);
  }
  checkOptions(op, fromFile as SettingOptions, settingKinds);
  if (
    typeof file.max_length === "number" &&
    fromFile.maxNewTokens === undefined &&
    file.max_length > longestPrompt
  ) {
    fromFile.maxNewTokens = file.max_length - longestPrompt;
  }
  const given = { ...defaults, ...fromFile, ...options };
  const asks = samplingOptions.some((name) => options[name] !== undefined);
  const doSample = given.temperature !== 0 && (options.doSample ?? (asks || given.doSample || false));
  const settings: Settings = {
    ...given,
    doSample,
    eosTokenId: listOf(given.eosTokenId),
    forcedEosTokenId: given.forcedEosTokenId === undefined ? undefined : listOf(given.forcedEosTokenId),
    seed: given.seed ?? 0,
  };
  const { numBeams, numReturnSequences } = settings;
  if (numReturnSequences > (numBeams > 1 ? numBeams : doSample ? numReturnSequences : 1)) {
    throw new ArgumentError(`${numReturnSequences} sequences are wanted of ${numBeams} beams`, {
      op,
      hint: "more beams, or doSample",
    });
  }
  if (numBeams > 1 && doSample) {
    throw new ArgumentError("beam search does not sample", { op, hint: "doSample: false, or numBeams: 1" });
  }
  return { settings, unknown };
}

/** Options of `generate`: settings by name, prompts and the rest. */
export interface GenerateOptions extends SettingOptions {
  /** The prompt's ids, or those of several prompts. */
  readonly inputIds: readonly number[] | readonly (readonly number[])[];
  /** What generation_config.json has: `generationConfig` of `fromPretrained`. */
  readonly generationConfig?: Readonly<Record<string, unknown>>;
  /** Functions that change scores, after the original library's own and before those of sampling. */
  readonly processors?: readonly LogitsProcessor[];
  /** For `stop` and for texts in parts and results. */
  readonly tokenizer?: TokenText & Partial<TokenBytes>;
  /** Texts at which a sequence ends. They need a tokenizer. */
  readonly stop?: string | readonly string[];
  /**
   * The form of each sequence's text, of `regex` or `jsonSchema`; a sequence ends where nothing can follow. Needs a tokenizer that knows the
   * bytes of its tokens, as that of `loadTokenizer` does. Not with beams.
   */
  readonly constraint?: Constraint;
  /** Returns the processed scores of every token. Default false. Not with beams. */
  readonly outputScores?: boolean;
  /**
   * Positions of the caches at the beginning, rounded up to a power of two; they double when they are full. Default: what prompt and output
   * need, up to 256 more than the prompt.
   */
  readonly cacheCapacity?: number;
  /** Ends generation: the iteration throws its reason, and all memory is freed. */
  readonly signal?: AbortSignal;
}

export const generateKinds = (): Kinds<GenerateOptions> => ({
  ...settingKinds,
  inputIds: anArray,
  generationConfig: anObject,
  processors: anArray,
  tokenizer: [
    "an object with decode(ids)",
    (value) => aFunction[1]((value as TokenText | undefined)?.decode),
  ],
  stop: either(["a string", (value) => typeof value === "string"], anArray),
  constraint: ["a constraint, of regex() or jsonSchema()", (value) => value instanceof Constraint],
  outputScores: aBoolean,
  cacheCapacity: aCount,
  signal: anObject,
});
