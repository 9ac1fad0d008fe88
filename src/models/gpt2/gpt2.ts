/** GPT-2 as an entry of the registry. */
import type { Architecture } from "../architecture.js";
import { type Gpt2Config, readGpt2Config } from "./config.js";
import { Gpt2, Gpt2CausalLm } from "./model.js";
import { gpt2Names } from "./names.js";

export const gpt2: Architecture<Gpt2Config> = {
  modelTypes: ["gpt2"],
  heads: ["causalLm", "none"],
  headKeys: /^lm_head\./,
  readConfig: readGpt2Config,
  build: (config, head, options) =>
    head === "causalLm" ? new Gpt2CausalLm(config, options) : new Gpt2(config, options),
  names: gpt2Names,
};
