/** Llama, SmolLM2, Mistral, Qwen2 and Qwen3 as an entry of the registry. */
import type { Architecture } from "../architecture.js";
import { type LlamaConfig, llamaModelTypes, readLlamaConfig } from "./config.js";
import { Llama, LlamaCausalLm } from "./model.js";
import { llamaNames } from "./names.js";

export const llama: Architecture<LlamaConfig> = {
  modelTypes: llamaModelTypes,
  heads: ["causalLm", "none"],
  headKeys: /^lm_head\./,
  readConfig: readLlamaConfig,
  build: (config, head, options) =>
    head === "causalLm" ? new LlamaCausalLm(config, options) : new Llama(config, options),
  names: llamaNames,
};
