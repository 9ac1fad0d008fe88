/** In a page: recurrent layers, and the network that says words. */
import { type DeviceName, openDevice } from "../../../src/index.js";
import { type RecurrentCase, runRecurrent, type Values } from "../../nn/recurrent_case.js";
import { type Alphabet, phonemesOf } from "../../situations/g2p.js";

export async function runRecurrentCases(
  cases: readonly RecurrentCase[],
  name: DeviceName,
): Promise<Values[]> {
  const device = await openDevice(name);
  const results: Values[] = [];
  for (const each of cases) results.push(await runRecurrent(each, device));
  device.close();
  return results;
}

/** Phonemes of words by a checkpoint at a URL. */
export async function runPhonemes(
  checkpoint: string,
  alphabet: Alphabet,
  words: readonly string[],
  name: DeviceName,
): Promise<string[][]> {
  const device = await openDevice(name);
  const spoken = await phonemesOf(checkpoint, alphabet, words, device);
  device.close();
  return spoken;
}
