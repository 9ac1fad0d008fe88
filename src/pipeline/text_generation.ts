/** Text generation: texts and chats that a model goes on with. */
import {
  aBoolean,
  aFunction,
  anArray,
  anObject,
  aString,
  check,
  checkOptions,
  type Kinds,
} from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import {
  type GenerateOptions,
  type GenerationResult,
  generate,
  type StopReason,
} from "../generation/index.js";
import { generateKinds } from "../generation/settings.js";
import type { CausalModel } from "../models/index.js";
import type { ChatOptions, Message } from "../text/index.js";
import { asPipeline, type PipelineMembers, type TaskContext } from "./task.js";

/** A text, or a chat with the model's answer as its last message. The name is that of the original library. */
export interface GeneratedText<Prompt extends string | readonly Message[] = string | readonly Message[]> {
  readonly generated_text: Prompt extends string ? string : Message[] | string;
}

/** A piece of text as it is generated. */
export interface TextPiece {
  /** Of which sequence: those of the first prompt come first. */
  readonly sequence: number;
  /** "" while a character is not whole, or a stop text may have begun. */
  readonly text: string;
  readonly token: number;
}

/** Options of text generation: those of `generate`, and how prompts and results are made. */
export interface TextGenerationOptions
  extends Omit<GenerateOptions, "inputIds" | "generationConfig" | "tokenizer">,
    Pick<ChatOptions, "tools" | "template" | "variables"> {
  /** Whether the result begins with the prompt; of chats, whether it is the whole chat. Default true. */
  readonly returnFullText?: boolean;
  /** Whether the model's own tokens are put around texts. Default true. Chats have what their template says. */
  readonly addSpecialTokens?: boolean;
  /** Called for each token. */
  readonly onText?: (piece: TextPiece) => void;
}

/** Text as it is generated, and the result. It runs once: by iteration, or by `finish`. */
export interface TextStream<Prompt extends string | readonly Message[] = string | readonly Message[]>
  extends AsyncIterable<TextPiece> {
  /** Runs to the end, what is left of it. */
  finish(): Promise<TextStreamResult<Prompt>>;
}

/** The result of a stream. */
export interface TextStreamResult<Prompt extends string | readonly Message[]> {
  /** For each prompt `numReturnSequences`. */
  readonly texts: readonly (readonly GeneratedText<Prompt>[])[];
  /** Why each sequence ended. */
  readonly reasons: readonly StopReason[];
  /** Ids, settings and counts. */
  readonly generation: GenerationResult;
}

type Chat = readonly Message[];

/** A pipeline for text generation: for each prompt a list, of one text, or of `numReturnSequences`. */
export interface TextGenerationPipeline extends PipelineMembers {
  (prompt: string, options?: TextGenerationOptions): Promise<GeneratedText<string>[]>;
  (chat: Chat, options?: TextGenerationOptions): Promise<GeneratedText<Chat>[]>;
  (prompts: readonly string[], options?: TextGenerationOptions): Promise<GeneratedText<string>[][]>;
  (chats: readonly Chat[], options?: TextGenerationOptions): Promise<GeneratedText<Chat>[][]>;
  /** The same as it is generated: an async iterator of pieces. */
  stream(prompt: string, options?: TextGenerationOptions): TextStream<string>;
  stream(chat: Chat, options?: TextGenerationOptions): TextStream<Chat>;
}

/** Tokens of an answer where neither the call nor the model's files say how many: as the original library's pipeline. */
const defaultNewTokens = 256;

const kinds = (): Kinds<TextGenerationOptions> => ({
  ...settingKinds(),
  returnFullText: aBoolean,
  addSpecialTokens: aBoolean,
  onText: aFunction,
  tools: anArray,
  template: aString,
  variables: anObject,
});

function settingKinds() {
  const { inputIds, generationConfig, tokenizer, ...settings } = generateKinds();
  return settings;
}

type Prompt = string | Chat;

const isChat = (prompt: unknown): prompt is Chat =>
  Array.isArray(prompt) && prompt.every((m) => typeof m === "object" && !Array.isArray(m));

export function textGeneration(context: TaskContext): TextGenerationPipeline {
  const { task, tokenizer, generationConfig } = context;
  const model = context.model as CausalModel;

  function idsOf(prompt: Prompt, index: number, options: Partial<TextGenerationOptions>): number[] {
    const { addSpecialTokens = true } = options;
    const ids =
      typeof prompt === "string"
        ? tokenizer.encode(prompt, { addSpecialTokens })
        : tokenizer.encode(chatText(prompt, options), { addSpecialTokens: false });
    if (ids.length > 0) return [...ids];
    throw new ArgumentError(`prompt ${index} is empty`, { op: task, hint: "give at least one word" });
  }

  /** A chat whose last message is the model's goes on with it. */
  function chatText(chat: Chat, { tools, template, variables }: Partial<TextGenerationOptions>): string {
    const last = chat.at(-1);
    const goesOn = last?.role === "assistant" && typeof last.content === "string";
    const text = tokenizer.chat(chat, {
      addGenerationPrompt: !goesOn,
      ...(tools && { tools }),
      ...(template !== undefined && { template }),
      ...(variables && { variables }),
    });
    if (!goesOn) return text;
    const content = (last.content as string).trim();
    return text.slice(0, text.lastIndexOf(content) + content.length);
  }

  function start(prompts: readonly Prompt[], given: TextGenerationOptions | undefined): TextStream {
    const options = checkOptions(task, given, kinds()) as TextGenerationOptions;
    const {
      returnFullText = true,
      addSpecialTokens: _,
      onText,
      tools: _t,
      template: _n,
      variables: _v,
      ...asked
    } = options;
    const says = ["max_new_tokens", "max_length"].some((key) => typeof generationConfig[key] === "number");
    const generation = generate(model, {
      ...(!says && { maxNewTokens: defaultNewTokens }),
      ...asked,
      inputIds: prompts.map((prompt, i) => idsOf(prompt, i, options)),
      generationConfig,
      tokenizer,
    });
    async function* pieces(): AsyncGenerator<TextPiece, undefined> {
      for await (const { sequence, token, text = "" } of generation) {
        const piece = { sequence, token, text };
        onText?.(piece);
        yield piece;
      }
    }
    const all = pieces();
    return {
      [Symbol.asyncIterator]: () => all,
      async finish() {
        while (!(await all.next()).done);
        const result = await generation.finish();
        const texts = result.sequences.map((own, i) =>
          own.map(({ text }) => ({ generated_text: fullText(prompts[i], text ?? "", returnFullText) })),
        );
        return { texts, reasons: result.sequences.flat().map(({ reason }) => reason), generation: result };
      },
    };
  }

  const promptsOf = (given: Prompt | readonly Prompt[]): { prompts: readonly Prompt[]; isList: boolean } => {
    if (typeof given === "string") return { prompts: [given], isList: false };
    check(task, "the prompt", given, ["a text, messages, or an array of either", Array.isArray]);
    if (given.length > 0 && isChat(given)) return { prompts: [given], isList: false };
    for (const [i, prompt] of given.entries()) {
      check(task, `prompt ${i}`, prompt, [
        "a text, or messages",
        (value) => typeof value === "string" || isChat(value),
      ]);
    }
    return { prompts: given as readonly Prompt[], isList: true };
  };

  async function call(given: Prompt | readonly Prompt[], options?: TextGenerationOptions) {
    const { prompts, isList } = promptsOf(given);
    if (prompts.length === 0) return [];
    const { texts } = await start(prompts, options).finish();
    return isList ? texts : texts[0];
  }
  function stream(prompt: Prompt, options?: TextGenerationOptions): TextStream {
    const { prompts, isList } = promptsOf(prompt);
    if (!isList) return start(prompts, options);
    throw new ArgumentError("a stream has one prompt", {
      op: task,
      hint: "numReturnSequences gives several texts",
    });
  }
  return asPipeline(context, call, { stream }) as unknown as TextGenerationPipeline;
}

function fullText(prompt: Prompt, text: string, returnFullText: boolean): string | Message[] {
  if (!returnFullText) return text;
  if (typeof prompt === "string") return prompt + text;
  const last = prompt.at(-1)!;
  if (last.role !== "assistant") return [...prompt, { role: "assistant", content: text }];
  return [...prompt.slice(0, -1), { ...last, content: `${last.content as string}${text}` }];
}
