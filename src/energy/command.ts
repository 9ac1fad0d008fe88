/** An external meter: a user's command that prints a cumulative count of joules, for example of a wall meter. */

import type { ErrorDetails } from "../core/errors.js";
import { quote } from "../formats/excerpt.js";
import { endMeter, startMeter } from "./child.js";
import { EnergyError, type EnergySource } from "./source.js";

/** Time-out of one reading in milliseconds. */
const timeoutMilliseconds = 10_000;
/** Characters of the output that are kept; the figure is in the last line. */
const longestOutput = 10_000;

/** @throws EnergyError if the command fails or its last line is not a number. */
export async function openCommand(command: string, timeout = timeoutMilliseconds): Promise<EnergySource> {
  let last = await run(command, timeout);
  return {
    name: "command",
    kind: "measured",
    method: `the external meter \`${command}\``,
    scope: "what the external meter measures",
    coversGpu: true,
    isCheap: false,
    async read() {
      const joules = await run(command, timeout);
      if (joules < last) throw new EnergyError(`\`${command}\` went back from ${last} to ${joules} J`);
      last = joules;
      return joules;
    },
    close() {},
  };
}

function run(command: string, timeout: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = startMeter(command);
    const [output, errors] = [child.stdout!, child.stderr!].map((pipe) => {
      const output = { text: "" };
      pipe.on("data", (text: string) => {
        output.text = (output.text + text).slice(-longestOutput);
      });
      return output;
    });
    const fail = (why: string, details?: ErrorDetails) => {
      endMeter(child);
      reject(new EnergyError(`\`${command}\` ${why}`, details));
    };
    const timer = setTimeout(() => fail(`failed: it did not answer within ${timeout / 1000} s`), timeout);
    child.once("error", (cause) => fail(`failed: ${cause.message}`, { cause }));
    // Children may hold the pipes open: kill the whole group.
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      if (code !== 0)
        return fail(`failed: ${errors.text.trim().split("\n")[0] || `exit code ${code ?? signal}`}`);
      const text = output.text.trim().split("\n").at(-1) ?? "";
      const joules = Number(text);
      if (text === "" || !Number.isFinite(joules)) {
        const hint = "it has to print the joules counted so far, as a number";
        return fail(`printed ${quote(text)}`, { hint });
      }
      resolve(joules);
    });
  });
}
