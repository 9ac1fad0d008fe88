/** Energy meter of a library that does not count its work. */
import { type EnergyMeter, openMeter } from "../../energy/index.js";
import type { Backend } from "../contender.js";

/** Null in pages: without processor time only a guess from wall-clock time would remain. */
export async function openPeerMeter(backend: Backend): Promise<EnergyMeter | null> {
  if (typeof globalThis.process?.cpuUsage !== "function") return null;
  return openMeter({ gpu: backend === "webgl" });
}
