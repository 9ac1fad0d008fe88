/** Errors of generation. */
import { WattgradError } from "../core/errors.js";

/**
 * A prompt that is longer than the model's context.
 *
 * @example
 * const source = folder("node_modules/wattgrad/test/fixtures/models/gpt2");
 * const { model } = await fromPretrained<Gpt2CausalLm>(source, { device: "wasm" });
 * generate(model, { inputIds: new Array(65).fill(5) }); // throws ContextFullError
 */
export class ContextFullError extends WattgradError {
  /** Positions of the model. */
  readonly capacity: number;

  constructor(length: number, capacity: number) {
    super("CONTEXT_FULL", `the prompt has ${length} tokens, the context ${capacity}`, {
      op: "generate",
      hint: "cut the prompt at its beginning, and leave room for the answer",
    });
    this.capacity = capacity;
  }
}
