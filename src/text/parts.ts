/** Parts of a tokenizer, whatever files they come from. */

export type JsonObject = Readonly<Record<string, unknown>>;

/** The parts of a tokenizer. */
export interface TokenizerParts {
  /** Name for error messages. */
  readonly label: string;
  /** Contents of tokenizer.json. */
  readonly tokenizer: JsonObject;
  /** Contents of tokenizer_config.json. */
  readonly config: JsonObject;
  /** Contents of chat_template.jinja, which precedes the templates of the configuration. */
  readonly template: string | undefined;
}
