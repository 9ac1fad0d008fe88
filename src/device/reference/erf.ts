/**
 * The error function to double precision: the Maclaurin series near 0 (Abramowitz and Stegun 7.1.6) and the continued
 * fraction of erfc (7.1.14) further out, both run until they stop changing.
 */

/** Below this the series needs fewer terms than the fraction. */
const seriesLimit = 2.5;
/** From here erf rounds to 1. */
const saturation = 6;

export function erf(x: number): number {
  if (Number.isNaN(x)) return x;
  const magnitude = Math.abs(x);
  if (magnitude >= saturation) return Math.sign(x);
  if (magnitude < seriesLimit) return series(x);
  return Math.sign(x) * (1 - complement(magnitude));
}

/** 2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (2n+1)!!, all terms of one sign. */
function series(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > Math.abs(sum) * 1e-17; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

/** erfc(x) = e^(−x²)/√π · 1/(x + ½/(x + 1/(x + 3⁄2/(x + …)))), evaluated backwards. */
function complement(x: number): number {
  let fraction = x;
  for (let n = 120; n >= 1; n--) fraction = x + n / 2 / fraction;
  return Math.exp(-x * x) / (Math.sqrt(Math.PI) * fraction);
}
