/** Lines that are piped into a command. */
import { UsageError } from "./exit.js";

/** The lines of stdin that are not empty. @throws UsageError where stdin is a terminal. */
export async function linesOfInput(what: string): Promise<readonly string[]> {
  if (process.stdin.isTTY)
    throw new UsageError(`there are no ${what}: give them, or pipe lines into the command`);
  let text = "";
  for await (const chunk of process.stdin.setEncoding("utf8")) text += chunk;
  return text.split(/\r?\n/).filter((line) => line.trim() !== "");
}
