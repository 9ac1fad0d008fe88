/** All families, one line each. */
import type { Architecture, CommonConfig, Head } from "./architecture.js";
import { bert } from "./bert/bert.js";
import { ConfigError, ConfigReader } from "./config_reader.js";
import { gpt2 } from "./gpt2/gpt2.js";
import { llama } from "./llama/llama.js";

const architectures: readonly Architecture[] = [bert, gpt2, llama];

/** The family of a configuration. @throws ConfigError for an unknown `model_type`, naming those that are known. */
export function architectureOf(json: unknown): Architecture {
  const reader = new ConfigReader(json);
  const modelType = reader.get("model_type");
  const found = architectures.find(({ modelTypes }) => modelTypes.includes(String(modelType)));
  if (found === undefined) {
    throw reader.error("model_type", architectures.flatMap(({ modelTypes }) => modelTypes).join(", "));
  }
  return found;
}

/** Endings of the class names in `architectures`, and the heads that they have. */
const classHeads: readonly (readonly [ending: RegExp, head: Head])[] = [
  [/(ForCausalLM|LMHeadModel)$/, "causalLm"],
  [/(ForMaskedLM|ForPreTraining)$/, "maskedLm"],
  [/ForSequenceClassification$/, "sequence"],
  [/ForTokenClassification$/, "tokens"],
  [/ForQuestionAnswering$/, "question"],
];

/** The head of the class that wrote a file. @throws ConfigError if the family does not have it. */
export function headOf({ heads }: Architecture, { architecture }: CommonConfig): Head {
  const head =
    classHeads.find(([ending]) => architecture !== undefined && ending.test(architecture))?.[1] ?? "none";
  if (heads.includes(head)) return head;
  throw new ConfigError(
    "architectures[0]",
    architecture,
    `a class with one of the heads ${heads.join(", ")}`,
  );
}
