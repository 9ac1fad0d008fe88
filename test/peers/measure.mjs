/** Paired timing: contenders alternate in one run, so that disturbances affect all of them. */

/** The middle value; of an even number, the upper one. */
export const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

/**
 * Runs each contender's `run` (maybe async) in turns: `rounds` times each for about `milliseconds`, after a warm-up.
 * `finish`, for those whose `run` only enqueues, waits at the end of a turn until all is done.
 * `limit`, in milliseconds, ends a slow contender's turns early: it keeps the rounds that it has by then (one at least).
 * `processor`, maybe async, tells the milliseconds of processor time used so far, where that is wanted.
 * @returns per contender { name, median, best, rounds, times, cpu }, in milliseconds per run; `cpu` is the mean over all
 *   turns, undefined without `processor`.
 */
export async function pair(
  contenders,
  { rounds = 9, milliseconds = 200, limit = Infinity, processor = () => undefined } = {},
) {
  const states = [];
  for (const { name, run, finish = () => {} } of contenders) {
    const begin = performance.now();
    await run();
    await finish();
    let once = performance.now() - begin;
    if (once < limit / 4) {
      await run();
      await finish();
      const start = performance.now();
      await run();
      await finish();
      once = performance.now() - start;
    }
    const repeats = Math.max(1, Math.min(2000, Math.round(milliseconds / Math.max(0.01, once))));
    states.push({
      name,
      run,
      finish,
      repeats,
      times: once >= limit ? [once] : [],
      used: performance.now() - begin,
      cpu: 0,
      runs: 0,
    });
  }
  for (let round = 0; round < rounds; round++) {
    for (const state of states) {
      if (state.used >= limit && state.times.length > 0) continue;
      const before = await processor();
      const start = performance.now();
      for (let i = 0; i < state.repeats; i++) await state.run();
      await state.finish();
      const time = performance.now() - start;
      state.used += time;
      state.times.push(time / state.repeats);
      state.cpu += (await processor()) - before;
      state.runs += state.repeats;
    }
  }
  return states.map(({ name, times, cpu, runs }) => ({
    name,
    median: median(times),
    best: Math.min(...times),
    rounds: times.length,
    times,
    cpu: cpu > 0 ? cpu / runs : undefined,
  }));
}
