/** Paired timing: contenders take turns in one run, so that a noisy neighbour hits all of them. */

/** Median of the fastest half: what the machine can do when it is let. */
function typical(times) {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 4)];
}

/**
 * Runs each contender's `run` (maybe async) in turns for `rounds` rounds of about `milliseconds` each.
 * @returns per contender { median, best, quartile } in milliseconds per run.
 */
export async function pair(contenders, { rounds = 7, milliseconds = 250 } = {}) {
  const results = contenders.map(() => []);
  const repeats = [];
  for (const { run } of contenders) {
    await run();
    await run();
    const start = performance.now();
    await run();
    repeats.push(
      Math.max(1, Math.min(2000, Math.round(milliseconds / Math.max(0.01, performance.now() - start)))),
    );
  }
  for (let round = 0; round < rounds; round++) {
    for (let c = 0; c < contenders.length; c++) {
      const start = performance.now();
      for (let i = 0; i < repeats[c]; i++) await contenders[c].run();
      results[c].push((performance.now() - start) / repeats[c]);
    }
  }
  return contenders.map(({ name }, c) => {
    const sorted = [...results[c]].sort((a, b) => a - b);
    return { name, median: sorted[sorted.length >> 1], best: sorted[0], quartile: typical(results[c]) };
  });
}
