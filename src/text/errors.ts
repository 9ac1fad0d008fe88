/** Errors of chat templates. */
import { type ErrorDetails, WattgradError } from "../core/errors.js";

/** Messages that a model's chat template does not take, a template that fails, or a model without one. */
export class ChatError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("CHAT", message, details);
  }
}
