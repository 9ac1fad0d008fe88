/** All cases. */
import { attention } from "./attention.js";
import { attentionLengths } from "./attention_lengths.js";
import type { Case } from "./case.js";
import { convolution } from "./conv.js";
import { creation } from "./creation.js";
import { dtypes } from "./dtypes.js";
import { elementwise } from "./elementwise.js";
import { halves } from "./halves.js";
import { indexing } from "./indexing.js";
import { linalg } from "./linalg.js";
import { loss } from "./loss.js";
import { normalization } from "./normalization.js";
import { pooling } from "./pool.js";
import { quantized } from "./quantized.js";
import { quantizedEpilogues } from "./quantized_epilogues.js";
import { random } from "./random.js";
import { reduce } from "./reduce.js";
import { selection } from "./selection.js";
import { shape } from "./shape.js";
import { softmax } from "./softmax.js";
import { write } from "./write.js";

export type { Case } from "./case.js";

/** By theme; a theme is one file. */
export const themes: Readonly<Record<string, readonly Case[]>> = {
  elementwise,
  selection,
  reduce,
  softmax,
  linalg,
  attention: [...attention, ...attentionLengths],
  convolution,
  pooling,
  indexing: [...indexing, ...write],
  shape,
  normalization,
  loss,
  random,
  creation,
  dtypes,
  halves,
  quantized: [...quantized, ...quantizedEpilogues],
};

export const allCases: readonly Case[] = Object.values(themes).flat();
