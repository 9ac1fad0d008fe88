/** From what a user calls a model to a model with the head of a task, and its tokenizer. */
import { check, type Kind } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { Device } from "../device/device.js";
import type { DeviceChoice } from "../device/select.js";
import { type FileSource, type HubOptions, modelSource } from "../hub/index.js";
import { type CommonConfig, fromPretrained, type Head, type LoadProgress } from "../models/index.js";
import { requireVocabulary } from "../models/tokenizer_match.js";
import type { Module } from "../nn/module.js";
import { isModule } from "../nn/state.js";
import { quantize, type Scheme } from "../quantization/index.js";
import { loadTokenizer, Tokenizer } from "../text/index.js";

/** A model in memory, as `fromPretrained` gives it, with its tokenizer. */
export interface LoadedModel {
  readonly model: Module;
  readonly tokenizer: Tokenizer;
  /** Default: the model's own. */
  readonly config?: CommonConfig;
  /** For text generation. */
  readonly generationConfig?: Readonly<Record<string, unknown>>;
}

/** A model: its files, what a user calls them (`hub:organisation/name`, a URL, in Node a folder or a GGUF file), or in memory. */
export type ModelInput = string | FileSource | LoadedModel;

/** Options of loading, where the model is not in memory. */
export interface LoadOptions {
  /** A device or its name. Default: the best one here. */
  readonly device?: Device | DeviceChoice;
  /** Rounds the weights of linear layers: `int8Dynamic()` or another one that needs no data. */
  readonly quantization?: Scheme | "file";
  readonly onProgress?: (event: LoadProgress) => void;
  readonly signal?: AbortSignal;
  /** For a name: revision, token, endpoint and cache of the Hub. */
  readonly hub?: HubOptions;
}

/** What tasks need to know of a model's configuration; all families have it. */
export interface TaskConfig extends CommonConfig {
  readonly vocabulary: number;
  readonly maxPositions: number;
  /** Of encoders. */
  readonly firstPosition?: number;
  readonly typeVocabulary?: number;
}

/** A model that fits a task. */
export interface TaskModel {
  readonly model: Module;
  readonly tokenizer: Tokenizer;
  readonly config: TaskConfig | undefined;
  readonly generationConfig: Readonly<Record<string, unknown>>;
  /** Undefined for a model in memory. */
  readonly head: Head | undefined;
  /** Frees what was loaded here. */
  dispose(): void;
}

const aModel: Kind = [
  "a source of files, a name of one, or { model, tokenizer }",
  (value) =>
    typeof value === "string" ||
    typeof (value as Partial<FileSource> | undefined | null)?.read === "function" ||
    isModule((value as Partial<LoadedModel> | undefined | null)?.model),
  (value) => (isModule(value) ? "{ model, tokenizer: await loadTokenizer(source) }" : undefined),
];

/** Heads by the endings of the class names in config.json. */
const classHeads: readonly (readonly [ending: RegExp, head: Head])[] = [
  [/(ForCausalLM|LMHeadModel)$/, "causalLm"],
  [/ForMaskedLM$/, "maskedLm"],
  [/ForSequenceClassification$/, "sequence"],
  [/ForTokenClassification$/, "tokens"],
  [/ForQuestionAnswering$/, "question"],
];

/**
 * @param head The head of the task; undefined for that of the files.
 * @param tasks The names of the tasks by head, for messages.
 * @throws ArgumentError for a head that the files do not have, a model without a tokenizer, and a tokenizer of another model; what
 * loading throws.
 */
export async function loadForTask(
  op: string,
  task: string,
  input: ModelInput,
  head: Head | undefined,
  { device, quantization, onProgress, signal, hub }: LoadOptions,
  tasks: ReadonlyMap<Head, string>,
): Promise<TaskModel> {
  check(op, "the model", input, aModel);
  if (typeof input === "object" && "model" in input) return inMemory(op, input);
  const source = typeof input === "string" ? modelSource(input, hub) : input;
  await requireHead(op, task, source, head, tasks);
  // The small files first: what is missing ends it before weights are read.
  const tokenizer = await loadTokenizer(source, signal ? { signal } : {});
  // Calibration needs the float model.
  const isStatic = typeof quantization === "object" && quantization.kind === "int8-static";
  const loaded = await fromPretrained(source, {
    tokenizer,
    ...(quantization && !isStatic && { quantization }),
    ...(head && { head }),
    ...(device !== undefined && { device }),
    ...(onProgress && { onProgress }),
    ...(signal && { signal }),
  });
  const { model, generationConfig, report } = loaded;
  const config = loaded.config as TaskConfig;
  try {
    if (report.initialised.length > 0) {
      const names = report.initialised.slice(0, 3).join(", ");
      throw new ArgumentError(`${source.label} has no weights of a head for ${task}: ${names} are missing`, {
        op,
        hint: "train it with fromPretrained, or give a model of that task",
      });
    }
    if (isStatic) await quantize(model, quantization);
  } catch (error) {
    model.dispose();
    throw error;
  }
  return { model, tokenizer, config, generationConfig, head: loaded.head, dispose: () => model.dispose() };
}

function inMemory(op: string, { model, tokenizer, config, generationConfig = {} }: LoadedModel): TaskModel {
  if (!(tokenizer instanceof Tokenizer)) {
    throw new ArgumentError("the model has no tokenizer", {
      op,
      hint: "{ model, tokenizer: await loadTokenizer(source) }",
    });
  }
  const own = (config ?? (model as { config?: CommonConfig }).config) as TaskConfig | undefined;
  requireVocabulary(op, tokenizer, own?.vocabulary, "the model");
  return { model, tokenizer, config: own, generationConfig, head: undefined, dispose: () => {} };
}

/** @throws ArgumentError if config.json names a class with another head. */
async function requireHead(
  op: string,
  task: string,
  source: FileSource,
  head: Head | undefined,
  tasks: ReadonlyMap<Head, string>,
): Promise<void> {
  if (head === undefined || head === "none" || head === "embedding") return;
  if (!(await source.has("config.json"))) return;
  let names: unknown;
  try {
    names = JSON.parse(new TextDecoder().decode(await source.read("config.json")))?.architectures;
  } catch (error) {
    if (error instanceof SyntaxError) return;
    throw error;
  }
  const name = String(Array.isArray(names) ? names[0] : "");
  const own = classHeads.find(([ending]) => ending.test(name))?.[1];
  if (own === undefined || own === head) return;
  throw new ArgumentError(`${source.label} is a ${name}, which has no head for ${task}`, {
    op,
    hint: `it is made for ${tasks.get(own)}`,
  });
}
