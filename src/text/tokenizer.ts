/** Tokenizers of published models: text to ids and back, by @huggingface/tokenizers. */
import { Tokenizer as Engine } from "@huggingface/tokenizers";
import { aBoolean, anObject, aString, check, checkOptions, type Kind, type Kinds } from "../core/check.js";
import { ArgumentError, FormatError } from "../core/errors.js";
import { quote } from "../formats/excerpt.js";
import { aFileSource, type FileSource } from "../hub/source.js";
import { type ChatOptions, type Message, renderChat, type Templates, templatesIn } from "./chat.js";
import { findTokenizer } from "./files.js";
import { tokenText } from "./merges.js";
import { asByteSymbols, hasType, placedTokens } from "./offsets.js";
import type { TokenizerParts } from "./parts.js";
import type { TokenSpan } from "./span.js";
import { StreamingDetokenizer } from "./stream.js";
import { addedTokens, tokenBytesOf } from "./token_bytes.js";

/** Options of `Tokenizer.encode`. */
export interface EncodeOptions {
  /** A second text, for example the context of a question. */
  readonly pair?: string;
  /** Whether to add the model's special tokens, such as `[CLS]` and `[SEP]`. Default true. */
  readonly addSpecialTokens?: boolean;
}

/** Options of `Tokenizer.decode`. */
export interface DecodeOptions {
  /** Whether to omit special tokens. Default true. */
  readonly skipSpecialTokens?: boolean;
}

/** A text encoded for a model. */
export interface Encoding {
  readonly ids: Int32Array;
  /** Token types: 0 in the first text, 1 in the second; ignored by models without token types. */
  readonly tokenTypes: Int32Array;
  readonly tokens: readonly string[];
}

/** Ids of one or two texts with the model's special tokens. */
export interface Assembled {
  readonly ids: Int32Array;
  /** Token types: 0 in the first text, 1 in the second; ignored by models without token types. */
  readonly tokenTypes: Int32Array;
  /** Sequence index of each id: 0 or 1; −1 for special tokens. */
  readonly parts: Int8Array;
}

/** A special token and its id. */
export interface SpecialToken {
  readonly token: string;
  readonly id: number;
}

const roles = ["bos", "eos", "unk", "pad", "sep", "cls", "mask"] as const;
/** The role of a special token. */
export type SpecialRole = (typeof roles)[number];

const encodeOptions: Kinds<EncodeOptions> = { pair: aString, addSpecialTokens: aBoolean };
const decodeOptions: Kinds<DecodeOptions> = { skipSpecialTokens: aBoolean };
const loadOptions: Kinds<{ readonly signal?: AbortSignal }> = { signal: anObject };
const partKinds: Kinds<TokenizerParts> = {
  label: aString,
  tokenizer: anObject,
  config: anObject,
  template: aString,
};
const idList: Kind = ["a list of ids", (value) => Array.isArray(value) || ArrayBuffer.isView(value)];

/**
 * Loads the tokenizer of a model: `tokenizer.json`, else `vocab.json` and `merges.txt` (GPT-2's byte-level BPE), else the header of a
 * GGUF file (byte-level BPE). Special tokens and chat templates come from `tokenizer_config.json`, `special_tokens_map.json` and
 * `chat_template.jinja`.
 *
 * @throws FileError if there is none or it cannot be read; FormatError if it is damaged or of a kind that is not read; the reason of
 * `signal`.
 * @example
 * const bytes = (text: string) => new TextEncoder().encode(text);
 * const vocabulary = bytes('{ "a": 0, "b": 1, "ab": 2 }');
 * const source = files(new Map([["vocab.json", vocabulary], ["merges.txt", bytes("#version: 0.2\na b")]]));
 * const tokenizer = await loadTokenizer(source);
 * tokenizer.encode("abb"); // [2, 1]
 */
export async function loadTokenizer(
  source: FileSource,
  options: { readonly signal?: AbortSignal } = {},
): Promise<Tokenizer> {
  const op = "loadTokenizer";
  check(op, "the source", source, aFileSource);
  const { signal } = checkOptions(op, options, loadOptions);
  return new Tokenizer(await findTokenizer(source, signal));
}

/**
 * Converts text to ids and back; made by `loadTokenizer`.
 *
 * @example
 * const bytes = (text: string) => new TextEncoder().encode(text);
 * const vocabulary = bytes('{ "a": 0, "b": 1, "ab": 2 }');
 * const source = files(new Map([["vocab.json", vocabulary], ["merges.txt", bytes("#version: 0.2\na b")]]));
 * const tokenizer: Tokenizer = await loadTokenizer(source);
 * tokenizer.decode([2, 1]); // "abb"
 */
export class Tokenizer {
  /** Special tokens by role; roles without a token are missing. */
  readonly special: Readonly<Partial<Record<SpecialRole, SpecialToken>>>;
  /** Largest id plus one: the number of rows the model's embedding needs. */
  readonly size: number;
  /** Maximum number of ids (`model_max_length`); undefined if not given. */
  readonly maxLength: number | undefined;
  /** Names of the chat templates; empty for models without one. */
  readonly chatTemplates: readonly string[];
  /** Prefix of tokens that continue a word, such as `##`; undefined if there is none. */
  readonly subwordPrefix: string | undefined;
  readonly #engine: Engine;
  readonly #json: TokenizerParts["tokenizer"];
  /** Created on first use. */
  #bytes:
    | { readonly of: (token: string) => Uint8Array; readonly added: Map<number, string | undefined> }
    | undefined;
  readonly #label: string;
  readonly #templates: Templates;
  /** Id of unknown words. */
  readonly #unknown: number | undefined;

  /** @throws FormatError for parts that are damaged. */
  constructor(parts: TokenizerParts) {
    const given = checkOptions("Tokenizer", check("Tokenizer", "the parts", parts, anObject), partKinds);
    const { label = "the tokenizer", template } = given;
    const tokenizer = check(
      "Tokenizer",
      "tokenizer",
      given.tokenizer as TokenizerParts["tokenizer"],
      anObject,
    );
    const config = check("Tokenizer", "config", given.config ?? {}, anObject);
    this.#label = label;
    this.#json = tokenizer;
    try {
      // Default of transformers version 5; the tokenizer library has the other default.
      this.#engine = new Engine(tokenizer, { clean_up_tokenization_spaces: false, ...config });
      this.size = 1 + [...this.#engine.get_vocab().values()].reduce((most, id) => Math.max(most, id), -1);
      const { unk_token: unknown, continuing_subword_prefix: prefix } = (tokenizer.model ?? {}) as {
        readonly unk_token?: unknown;
        readonly continuing_subword_prefix?: unknown;
      };
      this.subwordPrefix = typeof prefix === "string" && prefix !== "" ? prefix : undefined;
      this.#unknown = typeof unknown === "string" ? this.#engine.token_to_id(unknown) : undefined;
      // A trial run finds inconsistent parts; a small vocabulary may lack "a".
      const ids = this.#engine.encode("a").ids.filter((id) => id !== undefined);
      if (ids.length > 0) this.#engine.decode(ids);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new FormatError(`${label}: the tokenizer cannot be used: ${reason}`, {
        op: "loadTokenizer",
        cause: error,
      });
    }
    this.#templates = templatesIn(config.chat_template, template);
    this.chatTemplates = [...this.#templates.keys()];
    this.special = this.#specialOf(config);
    const { model_max_length: longest } = config;
    // 1e30 means no limit.
    this.maxLength = typeof longest === "number" && longest < 1e9 ? longest : undefined;
  }

  #specialOf(config: TokenizerParts["config"]): Tokenizer["special"] {
    const special: Partial<Record<SpecialRole, SpecialToken>> = {};
    for (const role of roles) {
      const token = tokenText(config[`${role}_token`]);
      const id = token === undefined ? undefined : this.#engine.token_to_id(token);
      if (token !== undefined && id !== undefined) special[role] = { token, id };
    }
    return special;
  }

  /**
   * The ids of a text.
   * @example
   * tokenizer.encode("What?", { pair: "That.", addSpecialTokens: true });
   */
  encode(text: string, options: EncodeOptions = {}): Int32Array {
    return this.encoding(text, options).ids;
  }

  /** Ids, token types and sequence indices of a text. */
  encoding(text: string, options: EncodeOptions = {}): Encoding {
    check("encode", "the text", text, aString);
    const { pair, addSpecialTokens = true } = checkOptions("encode", options, encodeOptions);
    const { ids, tokens, token_type_ids } = this.#engine.encode(text, {
      text_pair: pair ?? null,
      add_special_tokens: addSpecialTokens,
      return_token_type_ids: true,
    });
    // Tokenizers without a post-processor return no types.
    const tokenTypes = Int32Array.from(token_type_ids ?? new Int32Array(ids.length));
    return { ids: Int32Array.from(ids, (id, i) => this.#known(id, tokens[i])), tokenTypes, tokens };
  }

  /**
   * The tokens of a text with their offsets, without special tokens.
   * @throws ArgumentError for tokenizers whose offsets cannot be computed.
   * @example
   * tokenizer.spans("Hi there").map(({ token, start, end }) => [token, start, end]);
   */
  spans(text: string): TokenSpan[] {
    check("spans", "the text", text, aString);
    return placedTokens(this.#engine, this.#json, text).map((span) => ({
      id: this.#known(this.#engine.token_to_id(span.token), span.token),
      ...span,
    }));
  }

  /**
   * Adds the model's special tokens to the ids of one or two texts, as `encode` does.
   * @example
   * tokenizer.assemble(tokenizer.encode("Hi", { addSpecialTokens: false }));
   */
  assemble(first: ArrayLike<number>, second?: ArrayLike<number>): Assembled {
    check("assemble", "the ids", first, idList);
    if (second !== undefined) check("assemble", "the second ids", second, idList);
    const lists = [first, ...(second === undefined ? [] : [second])];
    const places = lists.map((_, i) => `\0${i}`);
    const { tokens, token_type_ids: types } = this.#engine.post_processor?.post_process(
      [places[0]],
      second === undefined ? null : [places[1]],
      true,
    ) ?? { tokens: [] };
    // Without a post-processor the tokenizer library drops the second text.
    const missing = places.filter((place) => !tokens.includes(place));
    const ids: number[] = [];
    const tokenTypes: number[] = [];
    const parts: number[] = [];
    for (const [i, token] of [...tokens, ...missing].entries()) {
      const part = places.indexOf(token);
      const own = part >= 0 ? Array.from(lists[part]) : [this.#known(this.#engine.token_to_id(token), token)];
      for (const id of own) {
        ids.push(id);
        tokenTypes.push(types?.[i] ?? 0);
        parts.push(part);
      }
    }
    return {
      ids: Int32Array.from(ids),
      tokenTypes: Int32Array.from(tokenTypes),
      parts: Int8Array.from(parts),
    };
  }

  /** The text of vocabulary entries; plain texts may be among them. */
  join(tokens: readonly string[]): string {
    if (tokens.length === 0) return "";
    const isBytes = hasType(this.#json.decoder, "ByteLevel");
    const written = tokens.map((token) => (isBytes ? asByteSymbols(token) : token));
    return this.#engine.decoder?.decode(written) ?? tokens.join(" ");
  }

  /** The tokenizer library returns no id for a word missing in a word-level vocabulary. */
  #known(id: number | undefined, token: string): number {
    const known = id ?? this.#unknown;
    if (known !== undefined) return known;
    throw new ArgumentError(`${quote(token)} is not in the vocabulary of ${this.#label}`, { op: "encode" });
  }

  /** The text of ids. @throws ArgumentError for an id outside the vocabulary. */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    check("decode", "ids", ids, idList);
    const { skipSpecialTokens = true } = checkOptions("decode", options, decodeOptions);
    const list = Array.from(ids);
    const odd = list.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= this.size);
    if (odd >= 0) {
      throw new ArgumentError(`id ${list[odd]} at ${odd} is not in 0..${this.size - 1}`, { op: "decode" });
    }
    if (list.length === 0) return "";
    return this.#engine.decode(list, { skip_special_tokens: skipSpecialTokens });
  }

  /** The id of a vocabulary entry; undefined if there is none. */
  id(token: string): number | undefined {
    return this.#engine.token_to_id(check("id", "the token", token, aString));
  }

  /** The bytes of a token's text; undefined for special tokens and unused ids. */
  bytes(id: number): Uint8Array | undefined {
    this.#bytes ??= { of: tokenBytesOf(this.#json), added: addedTokens(this.#json) };
    const { of, added } = this.#bytes;
    const text = added.get(id);
    if (added.has(id)) return text === undefined ? undefined : new TextEncoder().encode(text);
    const token = this.#engine.id_to_token(id);
    return token === undefined ? undefined : of(token);
  }

  /** The vocabulary entry of an id; undefined if there is none. */
  token(id: number): string | undefined {
    return this.#engine.id_to_token(id);
  }

  /**
   * The text of a chat by the model's template.
   * @throws ChatError if there is no template or it rejects the messages.
   * @example
   * tokenizer.chat([{ role: "user", content: "What is the capital of France?" }]);
   */
  chat(messages: readonly Message[], options?: ChatOptions): string {
    const values = Object.fromEntries(
      Object.entries(this.special).map(([role, { token }]) => [`${role}_token`, token]),
    );
    return renderChat(this.#templates, messages, options, values, this.#label);
  }

  /** The ids of a chat; no special tokens are added, because the template writes them. */
  encodeChat(messages: readonly Message[], options?: ChatOptions): Int32Array {
    return this.encode(this.chat(messages, options), { addSpecialTokens: false });
  }

  /**
   * Decodes ids one by one, without splitting a character.
   * @example
   * const stream = tokenizer.stream();
   * const text = ids.map((id) => stream.push(id)).join("") + stream.end();
   */
  stream(options: DecodeOptions = {}): StreamingDetokenizer {
    checkOptions("stream", options, decodeOptions);
    return new StreamingDetokenizer((ids) => this.decode(ids, options));
  }
}
