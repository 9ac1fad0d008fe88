/** `wattgrad info`: which devices there are, what each supports, and why one is not available. */
import Table from "cli-table3";
import { Command } from "commander";
import { listDevices } from "../../device/select.js";
import { jsonOption } from "../options.js";
import { requireJsonTarget, standardOutput, writeJson } from "../output.js";
import { packageVersion } from "../package.js";

/** Of output that goes to no terminal. */
const defaultColumns = 100;
/** What the first two columns and the borders take. */
const otherColumns = 27;

export function infoCommand(): Command {
  return new Command("info")
    .description("list the devices found here, and why one is not available")
    .addOption(jsonOption())
    .addHelpText("after", "\nExamples:\n  wattgrad info\n  wattgrad info --json -")
    .action(runInfo);
}

async function runInfo({ json }: { json?: string }): Promise<void> {
  await requireJsonTarget(json);
  const devices = await listDevices();
  const report = { wattgrad: packageVersion(), engine: `Node.js ${process.version}`, devices };
  if (json !== standardOutput) {
    const table = new Table({
      head: ["device", "available", "what it is"],
      style: { head: [], border: [] },
      colWidths: [null, null, (process.stdout.columns ?? defaultColumns) - otherColumns],
      wordWrap: true,
    });
    for (const { name, available, reason, description, details } of devices) {
      const facts = Object.entries(details ?? {}).map(describeFact);
      table.push([name, available ? "yes" : "no", [description ?? reason ?? "", ...facts].join("\n")]);
    }
    process.stdout.write(`wattgrad ${report.wattgrad} on ${report.engine}\n${table}\n`);
  }
  if (json !== undefined) await writeJson(json, report);
}

/** `["maximumBytes", 65536]` as "maximum bytes: 65,536". */
function describeFact([key, value]: [string, string | number | boolean]): string {
  const words = key.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return `${words}: ${typeof value === "number" ? value.toLocaleString("en") : value}`;
}
