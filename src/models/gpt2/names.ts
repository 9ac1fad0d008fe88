/** GPT-2's names in files. */
import type { NameRules } from "../names.js";

/**
 * Name rules of GPT-2's weight files.
 *
 * @example
 * gpt2Names.prefixes; // ["transformer."]
 */
export const gpt2Names: NameRules = {
  // The published files are of the model without a head.
  prefixes: ["transformer."],
  // The causal mask, and what it put in the place of hidden scores.
  ignore: [/\.attn\.(bias|masked_bias)$/],
  // The original's Conv1D.
  transpose: [/\.(c_attn|c_proj|c_fc)\.weight$/],
};
