/** BERT, MiniLM, RoBERTa and DistilBERT as an entry of the registry. */
import type { Architecture } from "../architecture.js";
import { type EncoderConfig, encoderModelTypes, readEncoderConfig } from "./config.js";
import {
  EncoderEmbedding,
  EncoderMaskedLm,
  EncoderQuestion,
  EncoderSequence,
  EncoderTokens,
} from "./heads.js";
import { Encoder } from "./model.js";
import { encoderHeadKeys, encoderNames } from "./names.js";

const heads = {
  maskedLm: EncoderMaskedLm,
  sequence: EncoderSequence,
  tokens: EncoderTokens,
  question: EncoderQuestion,
  embedding: EncoderEmbedding,
  none: Encoder,
};

export const bert: Architecture<EncoderConfig> = {
  modelTypes: encoderModelTypes,
  heads: Object.keys(heads) as (keyof typeof heads)[],
  headKeys: encoderHeadKeys,
  readConfig: readEncoderConfig,
  build: (config, head, options) => new heads[head as keyof typeof heads](config, options),
  names: encoderNames,
};
