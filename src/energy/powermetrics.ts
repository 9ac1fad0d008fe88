/** macOS powermetrics: power of the processor (including GPU and neural engine on Apple silicon). Needs root. */
import { type PowerSample, PowerStream } from "./power_stream.js";
import { EnergyError, type EnergySource } from "./source.js";

const periodMilliseconds = 500;

/** @throws EnergyError on other systems, or if sudo asks for a password. */
export async function openPowermetrics(command: string, platform: string): Promise<EnergySource> {
  if (platform !== "darwin") throw new EnergyError("it is a program of macOS");
  const args = ["--samplers", "cpu_power", "-i", String(periodMilliseconds)];
  const isRoot = globalThis.process?.getuid?.() === 0;
  const parse = powermetricsParser();
  const stream = isRoot
    ? new PowerStream(command, args, parse)
    : new PowerStream("sudo", ["--non-interactive", command, ...args], parse);
  try {
    await stream.read();
  } catch (error) {
    stream.close();
    throw new EnergyError(`${(error as Error).message}`, { hint: "run as root, or allow sudo powermetrics" });
  }
  return {
    name: "powermetrics",
    kind: "measured",
    method: "power by powermetrics (the vendor's estimate), integrated over time",
    scope: "processor with its GPU, all processes",
    coversGpu: true,
    isCheap: false,
    read: () => stream.read(),
    close: () => stream.close(),
  };
}

/** Parses a report: a header line with the elapsed time, then lines with powers. */
export function powermetricsParser(now: () => number = Date.now): (line: string) => PowerSample | undefined {
  let time: number | undefined;
  return (line) => {
    const headline = /Sampled system activity .*\(([\d.]+)ms elapsed\)/.exec(line);
    if (headline !== null) {
      time = time === undefined ? now() : time + Number(headline[1]);
      return undefined;
    }
    const apple = /^Combined Power \(.*\): (\d+) mW/.exec(line);
    const intel = /package power.*: ([\d.]+) ?W/.exec(line);
    if ((apple === null && intel === null) || time === undefined) return undefined;
    return { part: "package", time, watts: apple ? Number(apple[1]) / 1000 : Number(intel![1]) };
  };
}
