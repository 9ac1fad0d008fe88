/**
 * Seeds of the property tests: fixed, so that a run of the suite repeats the last one. For a hunt:
 *
 *     PROPERTY_SEED=1 PROPERTY_RUNS=100 npx vitest run … test/compiler
 *
 * PROPERTY_RUNS multiplies the number of examples of each property.
 */
import type { Parameters } from "fast-check";

const seed = Number(process.env.PROPERTY_SEED ?? 20261124);
const factor = Number(process.env.PROPERTY_RUNS ?? 1);

/** Options of fc.assert for a property that takes `runs` examples in an ordinary run. */
export function examples<T>(runs: number): Parameters<T> {
  return { seed, numRuns: Math.ceil(runs * factor) };
}

/** Milliseconds that a test of such properties may take. */
export const propertyTimeout = 60_000 * Math.max(1, factor);
