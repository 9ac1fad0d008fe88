/** What `wattgrad bench` runs, in Node and in pages. */
import "../ops/methods.js";

export { type Interval, median, ratioInterval, trimmedMean } from "../profile/statistics.js";
export { type RateUnit, type SuiteName, suiteNames } from "./problem.js";
export {
  type BenchRow,
  labelOf,
  type ProcessorClock,
  type RunOptions,
  type RunResult,
  runCases,
} from "./run.js";
export { cases, casesOf } from "./suites.js";
