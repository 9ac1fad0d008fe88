/** What a tokenizer is made of, wherever it was found. */

export type JsonObject = Readonly<Record<string, unknown>>;

/** The parts of a tokenizer. */
export interface TokenizerParts {
  /** Of messages. */
  readonly label: string;
  /** What tokenizer.json holds. */
  readonly tokenizer: JsonObject;
  /** What tokenizer_config.json holds. */
  readonly config: JsonObject;
  /** Of chat_template.jinja, where there is one: it is preferred to those of the configuration. */
  readonly template: string | undefined;
}
