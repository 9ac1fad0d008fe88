/** Power of the whole machine, read from a discharging laptop battery (Linux, power_supply). */
import { reasonOf } from "../formats/file.js";
import { EnergyError, type EnergySource, nodeModule } from "./source.js";

/** Batteries update their power a few times a minute, so one reading a second is enough. */
const everySeconds = 1;
const micro = 1e-6;

/** @throws EnergyError saying why it cannot be used. */
export function openBattery(sys: string): EnergySource {
  const root = nodeModule("node:path").join(sys, "class", "power_supply");
  const batteries = batteriesIn(root);
  let joules = 0;
  let lastWatts = totalWatts(batteries);
  let last = performance.now();
  return {
    name: "battery",
    kind: "measured",
    method: "the battery's power, integrated over time",
    scope: "whole machine, all processes",
    coversGpu: true,
    isCheap: true,
    everySeconds,
    async read() {
      const watts = totalWatts(batteries);
      const now = performance.now();
      joules += (((lastWatts + watts) / 2) * (now - last)) / 1000;
      lastWatts = watts;
      last = now;
      return joules;
    },
    close() {},
  };
}

function batteriesIn(root: string): string[] {
  const fs = nodeModule("node:fs");
  let entries: string[];
  try {
    entries = fs.readdirSync(root).sort();
  } catch (error) {
    throw new EnergyError(`no power supplies are listed: ${root}: ${reasonOf(error)}`);
  }
  const paths = entries.map((entry) => `${root}/${entry}`);
  // `scope` is "Device" for peripherals such as a mouse.
  const batteries = paths.filter(
    (path) => text(path, "type") === "Battery" && text(path, "scope") !== "Device",
  );
  if (batteries.length === 0) throw new EnergyError("there is no battery");
  return batteries;
}

/** @throws EnergyError unless at least one battery discharges: on mains power their current is not the machine's. */
function totalWatts(batteries: readonly string[]): number {
  if (!batteries.some((path) => text(path, "status") === "Discharging")) {
    throw new EnergyError("the battery is not discharging: the machine runs on mains");
  }
  return batteries.reduce((sum, path) => sum + watts(path), 0);
}

function watts(path: string): number {
  // Some drivers report a negative current while discharging.
  const power = Math.abs(Number(text(path, "power_now") ?? Number.NaN)) * micro;
  if (Number.isFinite(power)) return power;
  const amperes = Math.abs(Number(text(path, "current_now") ?? Number.NaN)) * micro;
  const volts = Number(text(path, "voltage_now") ?? Number.NaN) * micro;
  if (Number.isFinite(amperes * volts)) return amperes * volts;
  throw new EnergyError(`${path} tells neither its power nor its current`);
}

function text(path: string, file: string): string | undefined {
  try {
    return nodeModule("node:fs").readFileSync(`${path}/${file}`, "utf8").trim();
  } catch {
    return undefined;
  }
}
