/** In a page: a pipeline whose model is downloaded. */
import { type DeviceName, openDevice } from "../../../src/index.js";
import { pipeline } from "../../../src/pipeline/index.js";

export interface EmbeddingOutcome {
  readonly ids: readonly number[];
  readonly vectors: readonly (readonly number[])[];
  /** Bytes on the device after the pipeline was disposed. */
  readonly left: number;
}

/** Sentence embeddings of a model below a URL. */
export async function runEmbedding(
  place: string,
  name: DeviceName,
  texts: readonly string[],
): Promise<EmbeddingOutcome> {
  const device = await openDevice(name);
  const embed = await pipeline("feature-extraction", place, { device, hub: { cache: false } });
  const vectors = await embed(texts, { pooling: "model" });
  const ids = [...embed.tokenizer.encode(texts[0])];
  embed.dispose();
  const left = device.memory().liveBytes;
  device.close();
  return { ids, vectors: vectors.map((vector) => [...vector]), left };
}
