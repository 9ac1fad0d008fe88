/** Power of each NVIDIA board, sampled several times a second with nvidia-smi. */
import { PowerStream } from "./power_stream.js";
import { EnergyError, type EnergySource } from "./source.js";

/** Boards update their power about ten times a second. */
const periodMilliseconds = 100;

/** @throws EnergyError if nvidia-smi is missing or the GPU does not report its power. */
export async function openNvidia(command: string): Promise<EnergySource> {
  const stream = new PowerStream(
    command,
    [
      "--query-gpu=index,timestamp,power.draw",
      "--format=csv,noheader,nounits",
      `--loop-ms=${periodMilliseconds}`,
    ],
    parseNvidiaLine,
  );
  try {
    // The second sample of the first GPU means that all GPUs have been sampled.
    await stream.read();
    await stream.read();
  } catch (error) {
    stream.close();
    throw error;
  }
  return {
    name: "nvidia",
    kind: "measured",
    method: "power by nvidia-smi, integrated over time",
    scope:
      stream.parts === 1
        ? "the GPU's board, all processes"
        : `the boards of ${stream.parts} GPUs, all processes`,
    coversGpu: true,
    isCheap: false,
    read: () => stream.read(),
    close: () => stream.close(),
  };
}

/** `0, 2026/11/25 09:03:11.204, 61.25`, in local time. */
export function parseNvidiaLine(line: string) {
  if (line.trim() === "") return undefined;
  const [index, stamp, power] = line.split(",").map((field) => field.trim());
  const match = /^(\d+)\/(\d+)\/(\d+) (\d+):(\d+):(\d+)\.(\d+)$/.exec(stamp ?? "");
  if (match === null) throw new EnergyError(`nvidia-smi printed ${JSON.stringify(line)}`);
  const [year, month, day, hour, minute, second, milliseconds] = match.slice(1).map(Number);
  const watts = Number(power);
  if (power === "" || !Number.isFinite(watts)) {
    throw new EnergyError(`GPU ${index} does not report its power: ${power}`);
  }
  const time = new Date(year, month - 1, day, hour, minute, second, milliseconds).getTime();
  return { part: index, time, watts };
}
