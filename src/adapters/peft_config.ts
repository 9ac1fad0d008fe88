/**
 * adapter_config.json as peft writes it (https://huggingface.co/docs/peft, `LoraConfig`). Keys of methods that are not supported are
 * refused if they are set, since they change what the adapter computes.
 */

import { isPlain } from "../core/check.js";
import { FormatError } from "../core/errors.js";
import { excerpt, quote } from "../formats/excerpt.js";
import type { LayerShape, LoraConfig, Targets } from "./lora.js";

/** What the file says of an adapter. */
export interface PeftConfig extends Omit<LoraConfig, "targets" | "init"> {
  /** A string is a pattern for whole names. */
  readonly targets: string | readonly string[];
  /** Patterns of layer names with a rank or alpha of their own. */
  readonly rankPattern: Readonly<Record<string, number>>;
  readonly alphaPattern: Readonly<Record<string, number>>;
}

/** Keys that change what an adapter computes and are not supported, with the values that change nothing. */
const unsupported: Readonly<Record<string, readonly unknown[]>> = {
  bias: ["none"],
  use_dora: [false],
  lora_bias: [false],
  use_qalora: [false],
  use_bdlora: [null, false],
  alora_invocation_tokens: [null],
  trainable_token_indices: [null],
  target_parameters: [null],
  layer_replication: [null],
  kasa_config: [null],
  velora_config: [null],
  monteclora_config: [null],
  arrow_config: [null],
};

/** @throws FormatError naming the key, its value, and what is accepted. */
export function readPeftConfig(text: string, label: string): PeftConfig {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new FormatError(`${label} is no JSON: ${(cause as Error).message}`, { op: "loadAdapter", cause });
  }
  if (!isPlain(json))
    throw new FormatError(`${label} is ${excerpt(json)}, not an object`, { op: "loadAdapter" });
  const config = new Map(Object.entries(json));
  const refuse = (key: string, accepted: string): FormatError =>
    new FormatError(`${label}: ${key} is ${excerpt(config.get(key))}`, {
      op: "loadAdapter",
      hint: `${accepted} is supported`,
    });
  const read = <T>(key: string, accepted: string, test: (value: unknown) => boolean, missing?: T): T => {
    const value = config.get(key) ?? missing;
    if (value === undefined || !test(value)) throw refuse(key, accepted);
    return value as T;
  };
  const numbers = (value: unknown): boolean => isPlain(value) && Object.values(value).every(Number.isFinite);
  const strings = (value: unknown): boolean =>
    Array.isArray(value) && value.every((item) => typeof item === "string");
  read("peft_type", "LORA", (value) => value === "LORA");
  for (const [key, harmless] of Object.entries(unsupported)) {
    if (config.has(key) && !harmless.includes(config.get(key))) throw refuse(key, String(harmless[0]));
  }
  return {
    rank: read("r", "an integer of at least 1", (value) => Number.isSafeInteger(value) && Number(value) >= 1),
    alpha: read("lora_alpha", "a number", Number.isFinite),
    dropout: read(
      "lora_dropout",
      "a number from 0 to 1",
      (value) => Number(value) >= 0 && Number(value) < 1,
      0,
    ),
    rankStabilized: read("use_rslora", "true or false", (value) => typeof value === "boolean", false),
    targets: read(
      "target_modules",
      "a string or a list of strings",
      (value) => typeof value === "string" || strings(value),
      [],
    ),
    modulesToSave: read("modules_to_save", "a list of strings", strings, []),
    rankPattern: read("rank_pattern", "an object of numbers", numbers, {}),
    alphaPattern: read("alpha_pattern", "an object of numbers", numbers, {}),
  };
}

/**
 * The value of a layer in a pattern table: that of the first pattern which is the end of its name from a dot on, as peft matches.
 * @throws FormatError for a pattern that is no regular expression.
 */
export function patternValue(
  table: Readonly<Record<string, number>>,
  name: string,
  otherwise: number,
): number {
  for (const [pattern, value] of Object.entries(table)) {
    if (patternOf(`(?:.*\\.)?(?:${pattern})`).test(name)) return value;
  }
  return otherwise;
}

/** Python's `re.fullmatch`. */
function patternOf(pattern: string): RegExp {
  try {
    return new RegExp(`^(?:${pattern})$`);
  } catch (cause) {
    throw new FormatError(`${quote(pattern)} is no regular expression`, { op: "loadAdapter", cause });
  }
}

/** Targets of the file as `LoraOptions` has them. */
export function targetsOf(targets: PeftConfig["targets"]): Targets {
  return typeof targets === "string" ? patternOf(targets) : targets;
}

/** Keys of the file that say where an adapter belongs; nothing is computed from them. */
export interface PeftLabels {
  /** Name of the base model on the Hub, or its path. */
  readonly baseModel?: string;
  /** peft's name of the task, `CAUSAL_LM` for example. */
  readonly taskType?: string;
}

/**
 * The text of the file.
 *
 * @param adapted The layers that have an adapter, by name, with their shapes.
 * @param all Names of all linear layers of the model.
 */
export function writePeftConfig(
  { rank, alpha, dropout, rankStabilized, init, modulesToSave }: LoraConfig,
  adapted: ReadonlyMap<string, LayerShape>,
  all: readonly string[],
  { baseModel, taskType }: PeftLabels,
): string {
  const ranks: Record<string, number> = {};
  const alphas: Record<string, number> = {};
  for (const [name, layer] of adapted) {
    const pattern = name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    if (layer.rank !== rank) ranks[pattern] = layer.rank;
    if (layer.alpha !== alpha) alphas[pattern] = layer.alpha;
  }
  const config = {
    peft_type: "LORA",
    task_type: taskType ?? null,
    base_model_name_or_path: baseModel ?? null,
    r: rank,
    lora_alpha: alpha,
    lora_dropout: dropout,
    use_rslora: rankStabilized,
    target_modules: targetNames([...adapted.keys()], all),
    modules_to_save: modulesToSave.length > 0 ? modulesToSave : null,
    rank_pattern: ranks,
    alpha_pattern: alphas,
    bias: "none",
    fan_in_fan_out: false,
    init_lora_weights: init === "gaussian" ? "gaussian" : true,
    inference_mode: true,
    use_dora: false,
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}

/** Last parts of the names if they select no other layer of the model, else the whole names. */
function targetNames(adapted: readonly string[], all: readonly string[]): string[] {
  const last = (name: string) => name.slice(name.lastIndexOf(".") + 1);
  const ends = [...new Set(adapted.map(last))];
  const selected = all.filter((name) => ends.includes(last(name)));
  return selected.length === adapted.length ? ends : [...adapted];
}
