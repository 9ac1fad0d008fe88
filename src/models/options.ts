/** Options that `fromPretrained` and `memoryPlan` share. */
import { type Kind, oneOf } from "../core/check.js";
import type { Head } from "./architecture.js";

export const heads = oneOf<Head>(
  "causalLm",
  "maskedLm",
  "sequence",
  "tokens",
  "question",
  "embedding",
  "none",
);
export const aQuantization: Kind = [
  'a scheme: int8Dynamic(), int8WeightOnly() or int4WeightOnly() of wattgrad/quantization; "file" or "none"',
  (value) =>
    value === "file" || value === "none" || typeof (value as { kind?: unknown } | null)?.kind === "string",
];
