/** The names of Llama, Mistral, Qwen2 and Qwen3 in files. */
import type { NameRules } from "../names.js";

export const llamaNames: NameRules = {
  prefixes: ["model."],
  // The rotary frequencies, which older files have.
  ignore: [/rotary_emb\.inv_freq$/],
};
