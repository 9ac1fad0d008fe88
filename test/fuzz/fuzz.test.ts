/** A share of `npm run fuzz` in every test run, with a new seed each time, which a failure reports. */
import { expect, test } from "vitest";
import { fuzz } from "./fuzz.js";
import { readers } from "./readers.js";

const runs = 10_000;

test.each(readers.map(({ name }) => name))("%s: damaged inputs end in typed errors", async (name) => {
  const seed = Date.now() % 1e9;
  const [summary] = await fuzz(runs, seed, undefined, name);
  expect({ seed, failures: summary.failures }).toEqual({ seed, failures: [] });
  // Neither all refused at the first byte nor nothing damaged.
  expect(summary.errors).toBeGreaterThan(summary.runs / 10);
});
