/** Options that `fromPretrained` and `memoryPlan` share. */
import { type Kind, oneOf } from "../core/check.js";
import type { FileSource } from "../hub/source.js";
import type { Head } from "./architecture.js";

export const aSource: Kind = [
  "a FileSource",
  (value) => {
    const { has, size, read } = (value ?? {}) as Partial<FileSource>;
    return [has, size, read].every((member) => typeof member === "function");
  },
  (value) =>
    typeof value === "string" ? "folder(path), url(base) or hub(name) of wattgrad/hub make one" : undefined,
];

export const heads = oneOf<Head>(
  "causalLm",
  "maskedLm",
  "sequence",
  "tokens",
  "question",
  "embedding",
  "none",
);
export const aScheme: Kind = [
  "a scheme: int8Dynamic(), int8WeightOnly() or int4WeightOnly() of wattgrad/quantization",
  (value) => typeof (value as { kind?: unknown } | null)?.kind === "string",
];
