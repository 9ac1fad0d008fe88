/** In a page: runs cases, a batch per call, since a round trip to the browser costs more than most cases. */
import { themes } from "../../cases/index.js";
import { compare } from "../../compare.js";
import { type Evaluated, evaluate } from "../../evaluate.js";
import { type DeviceLabel, open, reference } from "./devices.js";

export interface Outcome {
  readonly name: string;
  /** What is wrong; nothing if the case passed. */
  readonly error?: string;
}

/** Milliseconds after which a case counts as hung. */
const longest = 60_000;

let known: { readonly theme: string; readonly results: Map<string, Evaluated> } | undefined;

/** The cases of a theme from number `from` on: as many as fit into `milliseconds`, at least one. */
export async function runCases(
  label: DeviceLabel,
  theme: string,
  from: number,
  milliseconds: number,
): Promise<Outcome[]> {
  const { device, failure } = await open(label);
  if (known?.theme !== theme) known = { theme, results: new Map() };
  const { results } = known;
  const end = performance.now() + milliseconds;
  const outcomes: Outcome[] = [];
  for (const entry of themes[theme].slice(from)) {
    try {
      let want = results.get(entry.name);
      if (want === undefined) {
        want = await evaluate(entry, reference);
        results.set(entry.name, want);
      }
      const got = await withinTime(evaluate(entry, device));
      const error = failure();
      if (error !== undefined) throw new Error(error);
      compare(entry, got, want, "rounded");
      outcomes.push({ name: entry.name });
    } catch (error) {
      outcomes.push({ name: entry.name, error: describe(error) });
    }
    if (performance.now() >= end) break;
  }
  return outcomes;
}

async function withinTime<T>(result: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no result after ${longest} ms`)), longest);
  });
  return Promise.race([result, timeout]).finally(() => clearTimeout(timer));
}

/** Differences say it all; of other errors, one wants to know where they come from. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.constructor === Error) return error.message;
  return `${error.name}: ${error.message}\n${error.stack?.split("\n").slice(0, 8).join("\n")}`;
}
