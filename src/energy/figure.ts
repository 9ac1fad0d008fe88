/** Energy figures: an amount in joules with its kind, method, scope and interval. */
import { aNumber, check, type Kind } from "../core/check.js";

/**
 * How a figure was obtained. `measured`: read from a meter. `modelled`: computed from counted work (CPU time, FLOPs, bytes) with
 * constants known for this hardware or published. `assumed`: computed with a constant that was not checked on this machine.
 */
export type EnergyKind = "measured" | "modelled" | "assumed";

/** An amount of energy and how it was obtained; plain data, so that it can be written as JSON. */
export interface EnergyFigure {
  /** Joules; null (never 0) if unknown. */
  readonly joules: number | null;
  readonly kind: EnergyKind;
  /** Description of the meter or formula. */
  readonly method: string;
  /** What consumed the energy: processor packages, the GPU, the whole machine, this process. */
  readonly scope: string;
  /** Wall-clock seconds of the interval. */
  readonly seconds: number;
  /** Whether the machine's idle power was subtracted. */
  readonly idleSubtracted: boolean;
  /** Reason for a null, or for not being of a better kind. */
  readonly reason?: string;
  /** The summands, if there is more than one source. */
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

/** Sums sources over the same interval. The kind is that of the least trustworthy; null if one is unknown. */
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

/** Sums consecutive intervals, for example of a resumed training. */
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
 * The figure in one phrase: `41.2 J (assumed)`, or `unknown energy (reason)`.
 *
 * @example
 * const figure = { joules: 5100, kind: "measured", method: "RAPL", scope: "package", seconds: 9, idleSubtracted: false } as const;
 * describeEnergy(figure); // "5.10 kJ (measured)"
 */
export function describeEnergy(figure: EnergyFigure): string {
  const { joules, kind, reason } = check("describeEnergy", "the figure", figure, aFigure);
  return joules === null ? `unknown energy (${reason})` : `${formatJoules(joules)} (${kind})`;
}

const prefixes = ["", "k", "M", "G", "T", "P"];

/**
 * Joules with a unit prefix and three digits.
 *
 * @example
 * formatJoules(41.23); // "41.2 J"
 */
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
