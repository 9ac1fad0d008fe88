/** The meter of a library whose work is not counted. */
import { type EnergyMeter, openMeter } from "../../energy/index.js";
import type { Backend } from "../contender.js";

/** Null in pages: they have no clock of processor time, and what is left is a guess by the clock on the wall. */
export async function openPeerMeter(backend: Backend): Promise<EnergyMeter | null> {
  if (typeof globalThis.process?.cpuUsage !== "function") return null;
  return openMeter({ gpu: backend === "webgl" });
}
