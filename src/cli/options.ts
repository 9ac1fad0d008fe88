/** Options that several commands share, and the parsers of option values. */
import { InvalidArgumentError, Option } from "commander";
import { deviceNames } from "../device/select.js";

export function deviceOption(): Option {
  return new Option("--device <name>", "where to compute").choices(["auto", ...deviceNames]).default("auto");
}

export function jsonOption(): Option {
  return new Option("--json <file>", "write the results as JSON (- for stdout)");
}

export function dataOption(): Option {
  return new Option(
    "--data <dir>",
    "directory with MNIST's IDX files, plain or .gz (default: the 10,000 + 2,000 images shipped with wattgrad)",
  );
}

export function energyCommandOption(): Option {
  return new Option("--energy-command <command>", "an external meter: prints the joules counted so far");
}

export function cpuWattsOption(): Option {
  const what = "of a busy core, where no meter can be read (default: assumed)";
  return new Option("--cpu-watts <w>", what).argParser(positiveNumber);
}

/** Comma-separated names, each of `names`; those that are there twice count once. An option given again adds to its list. */
export function listOf<T extends string>(names: readonly T[]): (text: string, before?: readonly T[]) => T[] {
  // Defaults are also passed as `before`; they are replaced, not extended.
  const given = new WeakSet<readonly T[]>();
  return (text, before) => {
    const found = text.split(",").map((word) => {
      const name = names.find((each) => each === word.trim());
      if (name === undefined) throw new InvalidArgumentError(`'${word}' is none of ${names.join(", ")}.`);
      return name;
    });
    const all = [...new Set([...(before && given.has(before) ? before : []), ...found])];
    given.add(all);
    return all;
  };
}

/** Whole numbers from `minimum` on. */
export function integerFrom(minimum: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < minimum) {
      throw new InvalidArgumentError(`It must be a whole number from ${minimum} on.`);
    }
    return value;
  };
}

const largestPort = 65535;

/** Port numbers; 0 means any free port. */
export function portNumber(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > largestPort) {
    throw new InvalidArgumentError(`It must be a whole number from 0 to ${largestPort}.`);
  }
  return value;
}

/** Numbers above 0. */
export function positiveNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value) || value <= 0) {
    throw new InvalidArgumentError("It must be a number above 0.");
  }
  return value;
}
