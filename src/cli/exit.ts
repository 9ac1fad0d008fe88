/** Exit codes of the command line program, and the errors that the user can fix. */
import { printable } from "../core/errors.js";

export const exitCodes = { success: 0, failure: 1, usage: 2, difference: 3, interrupted: 130 } as const;

/** Shown under every `--help`. */
export const exitCodeHelp = `
Exit codes:
  0    success
  1    failure: a file or device that cannot be used, data that is damaged, a loss that is not finite
  2    usage: unknown commands or options, values outside their domain
  3    bench compare: a case is slower
  130  interrupted (Ctrl-C)`;

/** Options that contradict each other or cannot be used as given: exit code 2. */
export class UsageError extends Error {}

/** Thrown if the training was interrupted and its state was saved: exit code 130. */
export class InterruptedError extends Error {}

/** Two benchmark runs differ: exit code 3. */
export class DifferenceError extends Error {}

/** One line for stderr, without the name of the function that failed first. */
export function lineOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return printable(`wattgrad: ${message.replace(/^error: /, "").replace(/\s*\n\s*/g, " ")}`);
}
