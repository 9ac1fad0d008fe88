/** Text that is piped into a command. */
import { UsageError } from "./exit.js";

/** The name of stdin in options. */
export const standardInput = "-";

/** The lines of stdin that are not empty. @throws UsageError where stdin is a terminal. */
export async function linesOfInput(what: string): Promise<readonly string[]> {
  if (process.stdin.isTTY)
    throw new UsageError(`there are no ${what}: give them, or pipe lines into the command`);
  return (await readInput()).split(/\r?\n/).filter((line) => line.trim() !== "");
}

/** All of stdin as one text, without the line break at its end. @throws UsageError if stdin is a terminal. */
export async function textOfInput(what: string): Promise<string> {
  if (process.stdin.isTTY) throw new UsageError(`there is no ${what}: give it, or pipe it into the command`);
  return (await readInput()).replace(/\r?\n$/, "");
}

async function readInput(): Promise<string> {
  let text = "";
  for await (const chunk of process.stdin.setEncoding("utf8")) text += chunk;
  return text;
}
