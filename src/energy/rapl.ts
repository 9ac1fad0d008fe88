/**
 * Linux RAPL through powercap: energy counters of the processor packages (Intel since Sandy Bridge, AMD since Zen). The files are
 * described in the kernel's Documentation/power/powercap/powercap.rst.
 */
import { reasonOf } from "../formats/file.js";
import { EnergyError, type EnergySource, nodeModule } from "./source.js";

/** Counters of 32 bits in units of 15 to 61 µJ wrap after minutes at full power: one reading a second is safe. */
const everySeconds = 1;
/** Since Linux 5.10 only root may read (CVE-2020-8694: power tells secrets). */
const permissionHint = "let all read it: sudo chmod a+r /sys/class/powercap/*/energy_uj, until the next boot";

interface Zone {
  readonly name: string;
  readonly path: string;
  /** Range of the counter in microjoules; undefined if the kernel does not report it. */
  readonly range: number | undefined;
  last: number;
}

/** @throws EnergyError with the reason and the remedy if the counters cannot be read. */
export function openRapl(sys: string): EnergySource {
  const path = nodeModule("node:path");
  const zones = zonesToAdd(path.join(sys, "class", "powercap")).map((zone) => ({
    ...zone,
    last: readCounter(zone.path),
  }));
  let joules = 0;
  return {
    name: "rapl",
    kind: "measured",
    method: `RAPL counters of ${zones.map(({ name }) => name).join(", ")}`,
    scope:
      zones[0].name === "psys"
        ? "platform, all processes"
        : "processor packages without memory, all processes",
    coversGpu: false,
    isCheap: true,
    everySeconds,
    async read() {
      for (const zone of zones) joules += advance(zone) * 1e-6;
      return joules;
    },
    close() {},
  };
}

/**
 * The zones whose sum counts each joule once. Sub-zones (core, uncore, dram) are parts of their package or missing on some
 * machines; a package may be listed twice (intel-rapl and intel-rapl-mmio). psys includes the packages; it is used only without
 * packages, because its calibration depends on the board maker.
 */
function zonesToAdd(root: string): Omit<Zone, "last">[] {
  const fs = nodeModule("node:fs");
  const path = nodeModule("node:path");
  let entries: string[];
  try {
    entries = fs.readdirSync(root).sort();
  } catch (error) {
    throw new EnergyError(`no powercap here, as in most virtual machines: ${root}: ${reasonOf(error)}`);
  }
  // `intel-rapl:0` is a zone, `intel-rapl:0:1` one inside it, `intel-rapl` the control type.
  const top = entries.filter((entry) => /^[^:]+:\d+$/.test(entry));
  const zones = new Map<string, Omit<Zone, "last">>();
  for (const entry of top) {
    const name = readText(path.join(root, entry, "name"));
    if (zones.has(name)) continue;
    const range = Number(readIfThere(path.join(root, entry, "max_energy_range_uj")));
    zones.set(name, {
      name,
      path: path.join(root, entry, "energy_uj"),
      range: range > 0 ? range : undefined,
    });
  }
  const packages = [...zones.values()].filter(({ name }) => name.startsWith("package"));
  const psys = zones.get("psys");
  if (packages.length > 0) return packages;
  if (psys !== undefined) return [psys];
  throw new EnergyError(`${root} has no zone of a processor package`);
}

/** Microjoules since the previous reading. */
function advance(zone: Zone): number {
  const now = readCounter(zone.path);
  let difference = now - zone.last;
  if (difference < 0) {
    if (zone.range === undefined)
      throw new EnergyError(`the counter of ${zone.name} wrapped at an unknown value`);
    difference += zone.range;
  }
  zone.last = now;
  return difference;
}

function readCounter(path: string): number {
  const text = readText(path);
  if (!/^\d+$/.test(text)) throw new EnergyError(`${path} holds no number: ${JSON.stringify(text)}`);
  return Number(text);
}

function readText(path: string): string {
  try {
    return nodeModule("node:fs").readFileSync(path, "utf8").trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const hint = code === "EACCES" || code === "EPERM" ? permissionHint : undefined;
    throw new EnergyError(`cannot read ${path}: ${reasonOf(error)}`, { hint, cause: error });
  }
}

function readIfThere(path: string): string {
  try {
    return readText(path);
  } catch {
    return "";
  }
}
