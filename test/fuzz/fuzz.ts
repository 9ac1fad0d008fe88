/** Feeds damaged inputs to the readers: typed errors only, no hang, memory bounded by the input, no changed prototypes. */
import { WattgradError } from "../../src/core/errors.js";
import { generator } from "./mutate.js";
import { type Reader, readers } from "./readers.js";

export interface Summary {
  readonly reader: string;
  readonly runs: number;
  /** Ended by a typed error. */
  readonly errors: number;
  readonly accepted: number;
  /** Milliseconds of the slowest run. */
  readonly slowest: number;
  /** Bytes of the largest result, and the most that array buffers grew in a run (one of 32 is measured). */
  readonly largest: number;
  /** Runs that broke a promise; the first few. */
  readonly failures: readonly string[];
}

/** Array buffers of streams and of the garbage collector's delay. */
const slackBytes = 2 ** 20;
const shownFailures = 5;
const sampleEvery = 32;

/** `runs` for each reader, the same ones for the same seed. */
export async function fuzz(
  runs: number,
  seed: number,
  onSummary: (summary: Summary) => void = () => {},
  only?: string,
): Promise<Summary[]> {
  const summaries: Summary[] = [];
  for (const reader of readers) {
    if (only !== undefined && reader.name !== only) continue;
    const summary = await fuzzOne(reader, Math.ceil(runs * (reader.share ?? 1)), seed);
    summaries.push(summary);
    onSummary(summary);
  }
  return summaries;
}

async function fuzzOne({ name, input, read, most }: Reader, runs: number, seed: number): Promise<Summary> {
  const random = generator(seed);
  const failures: string[] = [];
  let [errors, accepted, slowest, largest, broken] = [0, 0, 0, 0, 0];
  const fail = (run: number, what: string) => {
    broken++;
    if (failures.length < shownFailures) failures.push(`run ${run}: ${what}`);
  };
  for (let run = 0; run < runs; run++) {
    const given = input(random);
    const before = run % sampleEvery === 0 ? process.memoryUsage().arrayBuffers : undefined;
    const start = performance.now();
    try {
      const found = read(given as never);
      const bytes = typeof found === "number" ? found : await found;
      accepted++;
      largest = Math.max(largest, bytes);
      if (bytes > most(given.length)) fail(run, `${given.length} bytes became ${bytes}`);
    } catch (error) {
      if (error instanceof WattgradError) errors++;
      else fail(run, String(error).slice(0, 200));
    }
    slowest = Math.max(slowest, performance.now() - start);
    if (before !== undefined) {
      const grown = process.memoryUsage().arrayBuffers - before;
      largest = Math.max(largest, grown);
      if (grown > slackBytes + most(given.length))
        fail(run, `array buffers grew by ${grown} bytes for ${given.length}`);
    }
    if (Object.keys(Object.prototype).length + Object.keys(Array.prototype).length > 0) {
      fail(run, "a prototype has new members");
      break;
    }
  }
  if (broken > failures.length) failures.push(`and ${broken - failures.length} more`);
  return { reader: name, runs, errors, accepted, slowest, largest, failures };
}
