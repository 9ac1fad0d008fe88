/** What the tests of fine-tuning in Node and in pages share. */
import { readdirSync, readFileSync } from "node:fs";
import type { FineTuningFacts, FineTuningOptions } from "../browser/pages/fine_tuning.js";

/** Of losses, between libraries and devices. */
export const lossBound = 1e-3;

const fixtures = new URL("../fixtures/", import.meta.url);
const models = { classifier: "bert_sequence", lora: "llama" } as const;

export function fineTuningOptions(kind: keyof FineTuningFacts): FineTuningOptions {
  const facts = JSON.parse(readFileSync(new URL("fine_tuning.json", fixtures), "utf8"));
  const directory = new URL(`models/${models[kind]}/`, fixtures);
  const names = readdirSync(directory).filter((name) => !name.startsWith("expected"));
  const model = Object.fromEntries(
    names.map((name) => [name, readFileSync(new URL(name, directory)).toString("base64")]),
  );
  return { kind, model, facts };
}
