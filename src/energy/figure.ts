/** A figure of energy and everything that has to be known to believe it. */
import { aNumber, check, type Kind } from "../core/check.js";

/**
 * `measured`: read from a meter. `modelled`: computed from counted work (CPU time, FLOPs, bytes) with constants that
 * are known for this hardware or published. `assumed`: computed with a constant that nobody has checked here.
 */
export type EnergyKind = "measured" | "modelled" | "assumed";

/** Plain data, so that it can be written as JSON. */
export interface EnergyFigure {
  /** Null if it is unknown; never 0 for that. */
  readonly joules: number | null;
  readonly kind: EnergyKind;
  /** What was read or computed, in words. */
  readonly method: string;
  /** Whose energy it is: processor packages, the GPU, the whole machine, this process. */
  readonly scope: string;
  /** The interval that the figure covers, wall-clock seconds. */
  readonly seconds: number;
  /** Whether the power that the machine draws when idle was taken off. */
  readonly idleSubtracted: boolean;
  /** Why it is null, or why it is not of a better kind. */
  readonly reason?: string;
  /** What was added up, where more than one source was. */
  readonly parts?: readonly EnergyFigure[];
}

export const aFigure: Kind = [
  "an energy figure",
  (value) => {
    const { joules, kind, seconds } = (value ?? {}) as Partial<EnergyFigure>;
    return (joules === null || aNumber[1](joules)) && aNumber[1](seconds) && typeof kind === "string";
  },
];

/** From the most to the least trustworthy. */
const kinds: readonly EnergyKind[] = ["measured", "modelled", "assumed"];

/** Energy of different sources in the same interval: as trustworthy as the least of them, null if one is unknown. */
export function sumOfSources(parts: readonly EnergyFigure[]): EnergyFigure {
  if (parts.length === 1) return parts[0];
  return {
    joules: sumOrNull(parts.map(({ joules }) => joules)),
    kind: leastOf(parts),
    method: distinct(parts.map(({ method }) => method)).join(" + "),
    scope: distinct(parts.map(({ scope }) => scope)).join(" + "),
    seconds: Math.max(...parts.map(({ seconds }) => seconds)),
    idleSubtracted: parts.every(({ idleSubtracted }) => idleSubtracted),
    ...reasonsOf(parts),
    parts,
  };
}

/** Energy of intervals that follow each other, as when a training is resumed. */
export function sumOfIntervals(earlier: EnergyFigure, later: EnergyFigure): EnergyFigure {
  const both = [earlier, later];
  const { parts: _, ...last } = later;
  return {
    ...last,
    joules: sumOrNull(both.map(({ joules }) => joules)),
    kind: leastOf(both),
    method: inOrder(earlier.method, later.method),
    scope: inOrder(earlier.scope, later.scope),
    seconds: earlier.seconds + later.seconds,
    idleSubtracted: both.every(({ idleSubtracted }) => idleSubtracted),
    ...reasonsOf(both),
  };
}

/**
 * The figure in one phrase, for people: `41.2 J (assumed)`, or `unknown energy (why)`.
 *
 * @example
 * console.log(describeEnergy(figure)); // 5.10 kJ (measured)
 */
export function describeEnergy(figure: EnergyFigure): string {
  const { joules, kind, reason } = check("describeEnergy", "the figure", figure, aFigure);
  return joules === null ? `unknown energy (${reason})` : `${formatJoules(joules)} (${kind})`;
}

const prefixes = ["", "k", "M", "G", "T", "P"];

/** `0.0123 J`, `41.2 J`, `5.10 kJ`, …: three digits. */
export function formatJoules(joules: number): string {
  check("formatJoules", "joules", joules, aNumber);
  let value = joules;
  let prefix = 0;
  while (Math.abs(value) >= 999.5 && prefix < prefixes.length - 1) {
    value /= 1000;
    prefix++;
  }
  return `${value.toPrecision(3)} ${prefixes[prefix]}J`;
}

function leastOf(figures: readonly EnergyFigure[]): EnergyKind {
  return kinds[Math.max(...figures.map(({ kind }) => kinds.indexOf(kind)))];
}

function sumOrNull(values: readonly (number | null)[]): number | null {
  return values.reduce((sum, value) => (sum === null || value === null ? null : sum + value), 0);
}

function reasonsOf(figures: readonly EnergyFigure[]): { reason?: string } {
  const reasons = distinct(figures.flatMap(({ reason }) => reason ?? []));
  return reasons.length > 0 ? { reason: reasons.join("; ") } : {};
}

function inOrder(earlier: string, later: string): string {
  return earlier === later || earlier.endsWith(`, then ${later}`) ? earlier : `${earlier}, then ${later}`;
}

function distinct(words: readonly string[]): string[] {
  return [...new Set(words)];
}
