/** In a page: a language model that is downloaded answers a chat. */

import { generate } from "../../../src/generation/index.js";
import { modelSource } from "../../../src/hub/index.js";
import { type DeviceName, openDevice } from "../../../src/index.js";
import { type CausalModel, fromPretrained } from "../../../src/models/index.js";
import { loadTokenizer } from "../../../src/text/index.js";

export interface ChatRequest {
  /** A model's folder or file. */
  readonly place: string;
  readonly device: DeviceName;
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  readonly maxNewTokens: number;
}

export interface ChatOutcome {
  readonly promptLength: number;
  readonly ids: readonly number[];
  readonly text: string | undefined;
  readonly reason: string;
  readonly peakBytes: number;
  /** Bytes on the device after the model was disposed. */
  readonly left: number;
  readonly milliseconds: Readonly<Record<"load" | "generate", number>>;
}

/** The greedy answer. */
export async function runChat({
  place,
  device: name,
  messages,
  maxNewTokens,
}: ChatRequest): Promise<ChatOutcome> {
  const device = await openDevice(name);
  const start = performance.now();
  const source = modelSource(place, { cache: false });
  const tokenizer = await loadTokenizer(source);
  const { model, generationConfig } = await fromPretrained<CausalModel>(source, { device });
  const loaded = performance.now();
  const inputIds = [...tokenizer.encodeChat(messages)];
  const options = { inputIds, maxNewTokens, temperature: 0, generationConfig, tokenizer };
  const [[{ ids, text, reason }]] = (await generate(model, options).finish()).sequences;
  const milliseconds = { load: loaded - start, generate: performance.now() - loaded };
  model.dispose();
  const { liveBytes: left, peakBytes } = device.memory();
  device.close();
  return { promptLength: inputIds.length, ids: [...ids], text, reason, peakBytes, left, milliseconds };
}
