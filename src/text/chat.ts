/** Chat templates: format messages as the text a model was trained on. Templates are Jinja, run by @huggingface/jinja. */
import { Template } from "@huggingface/jinja";
import { aBoolean, anArray, anObject, aString, check, checkOptions, type Kinds } from "../core/check.js";
import { quote } from "../formats/excerpt.js";
import { ChatError } from "./errors.js";

/** One turn of a chat. Templates may read further members, such as `tool_calls`. */
export interface Message {
  /** `system`, `user`, `assistant`, `tool`, or another role of the model's template. */
  readonly role: string;
  readonly content: unknown;
  readonly [member: string]: unknown;
}

/** Options of chat templates. */
export interface ChatOptions {
  /** Whether the text ends where the assistant's answer begins. Default true. */
  readonly addGenerationPrompt?: boolean;
  /** Functions that the model may call, as JSON schemas. Selects the template named `tool_use`, if there is one. */
  readonly tools?: readonly unknown[];
  /** The name of a template, for models with several. Default: `default`, or the only one. */
  readonly template?: string;
  /** Further variables of the template, such as `enable_thinking`. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

const op = "chat";
const chatOptions: Kinds<ChatOptions> = {
  addGenerationPrompt: aBoolean,
  tools: anArray,
  template: aString,
  variables: anObject,
};
const commonRoles = ["system", "user", "assistant", "tool"];

/** The templates of a model by name. */
export type Templates = ReadonlyMap<string, string>;

/** The templates of a `chat_template` of tokenizer_config.json: a string, or a list of `{ name, template }`. */
export function templatesIn(value: unknown, file: string | undefined): Templates {
  const templates = new Map<string, string>();
  if (typeof value === "string") templates.set("default", value);
  for (const each of Array.isArray(value) ? value : []) {
    const { name, template } = (each ?? {}) as { name?: unknown; template?: unknown };
    if (typeof name === "string" && typeof template === "string") templates.set(name, template);
  }
  if (file !== undefined) templates.set("default", file);
  return templates;
}

/** @throws ChatError */
function templateOf(templates: Templates, { template: name, tools }: ChatOptions, label: string): string {
  if (templates.size === 0) {
    throw new ChatError(`${label} has no chat template`, { op, hint: "give the text of the prompt instead" });
  }
  const wanted = name ?? (tools !== undefined && templates.has("tool_use") ? "tool_use" : "default");
  const only = name === undefined && templates.size === 1 ? [...templates.values()][0] : undefined;
  const found = templates.get(wanted) ?? only;
  if (found !== undefined) return found;
  throw new ChatError(`${label} has no chat template ${quote(wanted)}`, {
    op,
    hint: [...templates.keys()].map(quote).join(", "),
  });
}

function checkMessages(messages: readonly Message[], template: string): void {
  check(op, "messages", messages, anArray);
  if (messages.length === 0) throw new ChatError("there are no messages", { op });
  for (const [i, message] of messages.entries()) {
    const { role } = check(op, `message ${i}`, message, anObject);
    check(op, `the role of message ${i}`, role, aString);
    const isNamed = template.includes(`"${role}"`) || template.includes(`'${role}'`);
    if (commonRoles.includes(role) || isNamed) continue;
    throw new ChatError(
      `message ${i} has the role ${quote(role)}, which the model's template does not know`,
      {
        op,
        hint: commonRoles.join(", "),
      },
    );
  }
}

/**
 * The text of a chat.
 * @throws ChatError if the template rejects the messages (unknown roles, for example) or fails; ArgumentError.
 */
export function renderChat(
  templates: Templates,
  messages: readonly Message[],
  given: ChatOptions | undefined,
  values: Readonly<Record<string, unknown>>,
  label: string,
): string {
  const options = checkOptions(op, given, chatOptions);
  const template = templateOf(templates, options, label);
  checkMessages(messages, template);
  const { addGenerationPrompt = true, tools = null, variables } = options;
  try {
    return new Template(template).render({
      ...values,
      messages,
      tools,
      documents: null,
      add_generation_prompt: addGenerationPrompt,
      ...variables,
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ChatError(`the chat template of ${label} refuses the messages: ${reason}`, {
      op,
      cause: error,
    });
  }
}
