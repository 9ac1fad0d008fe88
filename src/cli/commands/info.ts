/** `wattgrad info`: the available devices, their properties, and why others are not available. */
import { Command } from "commander";
import { listDevices } from "../../device/select.js";
import { jsonOption } from "../options.js";
import { requireJsonTarget, standardOutput, writeJson } from "../output.js";
import { packageVersion } from "../package.js";
import { print, printTable } from "../terminal.js";

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
    print(`wattgrad ${report.wattgrad} on ${report.engine}`);
    printTable(
      devices.map(({ name, available, reason, description, details }) => {
        const facts = Object.entries(details ?? {}).map(describeFact);
        return [name, available ? "yes" : "no", [description ?? reason ?? "", ...facts].join("\n")];
      }),
      { head: ["device", "available", "what it is"] },
    );
  }
  if (json !== undefined) await writeJson(json, report);
}

/** `["maximumBytes", 65536]` as "maximum bytes: 65,536". */
function describeFact([key, value]: [string, string | number | boolean]): string {
  const words = key.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return `${words}: ${typeof value === "number" ? value.toLocaleString("en") : value}`;
}
