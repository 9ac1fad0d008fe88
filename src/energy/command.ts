/** An external meter given by the user: a command that prints the joules counted so far, as one at the wall does. */
import { EnergyError, type EnergySource, nodeModule } from "./source.js";

/** A meter that has not answered by then is taken for dead. */
const timeoutMilliseconds = 10_000;

/** @throws EnergyError if the command fails or prints something else than a number. */
export async function openCommand(command: string): Promise<EnergySource> {
  let last = await run(command);
  return {
    name: "command",
    kind: "measured",
    method: `the external meter \`${command}\``,
    scope: "what the external meter measures",
    coversGpu: true,
    isCheap: false,
    async read() {
      const joules = await run(command);
      if (joules < last) throw new EnergyError(`\`${command}\` went back from ${last} to ${joules} J`);
      last = joules;
      return joules;
    },
    close() {},
  };
}

function run(command: string): Promise<number> {
  const { exec } = nodeModule("node:child_process");
  return new Promise((resolve, reject) => {
    exec(command, { timeout: timeoutMilliseconds, encoding: "utf8" }, (error, stdout, stderr) => {
      if (error !== null) {
        const why = stderr.trim().split("\n")[0] || (error.killed ? "it did not answer" : error.message);
        return reject(new EnergyError(`\`${command}\` failed: ${why}`, { cause: error }));
      }
      const text = stdout.trim().split("\n").at(-1) ?? "";
      const joules = Number(text);
      if (text === "" || !Number.isFinite(joules)) {
        const hint = "it has to print the joules counted so far, as a number";
        return reject(new EnergyError(`\`${command}\` printed ${JSON.stringify(text)}`, { hint }));
      }
      resolve(joules);
    });
  });
}
