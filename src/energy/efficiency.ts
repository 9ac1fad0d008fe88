/** Derived energy figures: work per joule, joules per epoch, kilowatt-hours and grams of CO2. */
import { aNumber, aString, check, checkNeeded, checkOptions, type Kinds } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import { aFigure, type EnergyFigure, type EnergyKind } from "./figure.js";

/** Work done during the measured interval; omitted fields are not reported. */
export interface Work {
  readonly samples?: number;
  readonly tokens?: number;
  readonly flops?: number;
  readonly epochs?: number;
  /** Seconds of training, for the ratio to the energy. Default: the figure's interval. */
  readonly seconds?: number;
}

/** Work per energy; null if either is unknown. */
export interface Efficiency {
  readonly samplesPerJoule: number | null;
  readonly tokensPerJoule: number | null;
  readonly flopsPerJoule: number | null;
  readonly joulesPerEpoch: number | null;
  /** Seconds of training per joule, the inverse of the mean power. */
  readonly secondsPerJoule: number | null;
  /** Mean power in watts. */
  readonly watts: number | null;
  /** Kind of the energy figure. */
  readonly kind: EnergyKind;
}

const workKinds: Kinds<Work> = {
  samples: aNumber,
  tokens: aNumber,
  flops: aNumber,
  epochs: aNumber,
  seconds: aNumber,
};

/**
 * Work per joule, joules per epoch and mean power of an energy figure.
 *
 * @example
 * const energy = { joules: 300, kind: "measured", method: "RAPL", scope: "package", seconds: 10, idleSubtracted: false } as const;
 * efficiency(energy, { samples: 60_000 }); // { samplesPerJoule: 200, watts: 30 }
 */
export function efficiency(figure: EnergyFigure, work: Work): Efficiency {
  const { joules, seconds: interval, kind } = check("efficiency", "the figure", figure, aFigure);
  const { samples, tokens, flops, epochs, seconds = interval } = checkOptions("efficiency", work, workKinds);
  const ratio = (numerator: number | null | undefined, denominator: number | null | undefined) =>
    numerator && denominator ? numerator / denominator : null;
  return {
    samplesPerJoule: ratio(samples, joules),
    tokensPerJoule: ratio(tokens, joules),
    flopsPerJoule: ratio(flops, joules),
    joulesPerEpoch: ratio(joules, epochs),
    secondsPerJoule: ratio(seconds, joules),
    watts: ratio(joules, seconds),
    kind,
  };
}

/** Emissions per kilowatt-hour with their source; there is no default country. */
export interface CarbonIntensity {
  /** Grams of CO2 equivalents per kilowatt-hour. */
  readonly gramsPerKwh: number;
  /** Place, year and publication. */
  readonly source: string;
  /** Power usage effectiveness: energy of the data centre per energy of its computers. Default 1. */
  readonly pue?: number;
}

const intensityKinds: Kinds<CarbonIntensity> = { gramsPerKwh: aNumber, source: aString, pue: aNumber };

/** Energy in kilowatt-hours and its emissions. */
export interface Carbon {
  /** Kilowatt-hours, multiplied by the PUE. */
  readonly kwh: number | null;
  /** Grams of CO2 equivalents. */
  readonly gCO2e: number | null;
  readonly intensity: CarbonIntensity;
  /** Kind of the energy figure. */
  readonly kind: EnergyKind;
}

export const joulesPerKwh = 3.6e6;

/**
 * Kilowatt-hours and grams of CO2 equivalents of an energy figure: kWh · PUE · intensity.
 *
 * @throws ArgumentError if the intensity has no source or is negative, or the PUE is below 1.
 * @example
 * const energy = { joules: 3.6e6, kind: "measured", method: "RAPL", scope: "package", seconds: 9, idleSubtracted: false } as const;
 * carbon(energy, { gramsPerKwh: 57, source: "France 2022, Luccioni et al." }); // { kwh: 1, gCO2e: 57 }
 */
export function carbon(figure: EnergyFigure, intensity: CarbonIntensity): Carbon {
  const op = "carbon";
  const { joules, kind } = check(op, "the figure", figure, aFigure);
  checkOptions(op, intensity ?? null, intensityKinds);
  const { gramsPerKwh, source, pue = 1 } = intensity;
  checkNeeded(op, { gramsPerKwh, source }, intensityKinds);
  if (!(Number.isFinite(gramsPerKwh) && gramsPerKwh >= 0)) {
    throw new ArgumentError(`gramsPerKwh is a non-negative number, got ${gramsPerKwh}`, { op });
  }
  if (source.trim() === "") throw new ArgumentError("an intensity needs its source", { op });
  if (!(Number.isFinite(pue) && pue >= 1)) throw new ArgumentError(`pue is at least 1, got ${pue}`, { op });
  const kwh = joules === null ? null : (joules * pue) / joulesPerKwh;
  return { kwh, gCO2e: kwh === null ? null : kwh * gramsPerKwh, intensity, kind };
}
