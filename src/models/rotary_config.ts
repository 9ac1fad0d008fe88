/**
 * Rotary positions in config.json: `rope_parameters` since version 5 of transformers, before that `rope_theta` and `rope_scaling`. All
 * kinds become a list of frequencies and a factor.
 */
import type { ConfigReader } from "./config_reader.js";

export const rotaryKinds = ["default", "linear", "dynamic", "llama3", "yarn"] as const;
export type RotaryKind = (typeof rotaryKinds)[number];

/** How queries and keys are rotated. */
export interface RotaryConfig {
  readonly kind: RotaryKind;
  /** Radians per position, of each pair of elements: headDim / 2. */
  readonly frequencies: readonly number[];
  /** Factor of the rotated vectors: 1, but for yarn. */
  readonly scale: number;
  /** For the kind `dynamic`: beyond `maxPositions` the frequencies become lower by `factor`. */
  readonly dynamic: { readonly factor: number; readonly maxPositions: number } | undefined;
}

interface Sizes {
  readonly headDim: number;
  readonly maxPositions: number;
}

/** @throws ConfigError for other kinds, and for keys that a kind lacks. */
export function readRotary(config: ConfigReader, { headDim, maxPositions }: Sizes): RotaryConfig {
  const given = config.object("rope_parameters", "rope_scaling");
  const kind = given?.name(["rope_type", "type"], rotaryKinds, "default") ?? "default";
  const theta = given?.has("rope_theta") ? given.number("rope_theta") : config.number("rope_theta", 10_000);
  config.only("partial_rotary_factor", 1);
  given?.only("partial_rotary_factor", 1);
  const plain = Array.from({ length: headDim / 2 }, (_, i) => theta ** ((-2 * i) / headDim));
  const result = { kind, frequencies: plain, scale: 1, dynamic: undefined };
  if (given === undefined || kind === "default") return result;
  const original = () =>
    config.has("original_max_position_embeddings")
      ? config.count("original_max_position_embeddings")
      : given.count("original_max_position_embeddings", maxPositions);
  switch (kind) {
    case "linear": {
      const factor = given.number("factor");
      return { ...result, frequencies: plain.map((frequency) => frequency / factor) };
    }
    case "dynamic":
      return { ...result, dynamic: { factor: given.number("factor"), maxPositions } };
    case "llama3":
      return { ...result, frequencies: llama3(plain, given, original()) };
    case "yarn": {
      const factor = given.has("factor") ? given.number("factor") : maxPositions / original();
      const frequencies = yarn(plain, given, { theta, factor, headDim, length: original() });
      return { ...result, frequencies, scale: yarnScale(given, factor) };
    }
  }
}

/**
 * Llama 3.1: long wavelengths are stretched by `factor`, short ones kept, those between blended.
 */
function llama3(plain: readonly number[], given: ConfigReader, length: number): number[] {
  const [factor, low, high] = ["factor", "low_freq_factor", "high_freq_factor"].map((key) =>
    given.number(key),
  );
  return plain.map((frequency) => {
    // Full turns within the original context.
    const turns = (length * frequency) / (2 * Math.PI);
    if (turns < low) return frequency / factor;
    if (turns > high) return frequency;
    const smooth = (turns - low) / (high - low);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
}

/** YaRN (Peng et al. 2023, section 3.2): dimensions of few turns are interpolated, of many kept, with a linear ramp between. */
function yarn(
  plain: readonly number[],
  given: ConfigReader,
  { theta, factor, headDim, length }: { theta: number; factor: number; headDim: number; length: number },
): number[] {
  const dimOf = (turns: number) =>
    (headDim * Math.log(length / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const bounds = [dimOf(given.number("beta_fast", 32)), dimOf(given.number("beta_slow", 1))];
  const truncates = given.boolean("truncate", true);
  const low = Math.max(truncates ? Math.floor(bounds[0]) : bounds[0], 0);
  const upper = Math.min(truncates ? Math.ceil(bounds[1]) : bounds[1], headDim - 1);
  // As the original has it: no division by zero.
  const high = upper === low ? upper + 0.001 : upper;
  return plain.map((frequency, i) => {
    const ramp = Math.min(Math.max((i - low) / (high - low), 0), 1);
    return (frequency / factor) * ramp + frequency * (1 - ramp);
  });
}

function yarnScale(given: ConfigReader, factor: number): number {
  if (given.has("attention_factor")) return given.number("attention_factor");
  const scaleOf = (mscale: number) => (factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1);
  const [mscale, ofAll] = [given.number("mscale", 0), given.number("mscale_all_dim", 0)];
  return mscale !== 0 && ofAll !== 0 ? scaleOf(mscale) / scaleOf(ofAll) : scaleOf(1);
}
