/** Errors of chat templates. */
import { type ErrorDetails, WattgradError } from "../core/errors.js";

/**
 * Messages that a model's chat template rejects, a template that fails, or a model without one.
 *
 * @example
 * new ChatError("the model has no chat template").name; // "ChatError"
 */
export class ChatError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("CHAT", message, details);
  }
}
