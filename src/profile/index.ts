/** `wattgrad/profile`: FLOPs, bytes and time of computations, and the roofline of a device. */
import "../ops/methods.js";

export { openDry } from "../device/dry/dry.js";
export { type CountedCost, cost, type ProgramRuns, programCost } from "./cost.js";
export type { NamedModules } from "./modules.js";
export {
  type KernelUsage,
  type ModuleUsage,
  type OpUsage,
  type Profile,
  type ProfiledCall,
  type ProfileOptions,
  profile,
  type Usage,
} from "./profile.js";
export { attainable, type Point, type Roofline, roofline } from "./roofline.js";
export { formatProfile } from "./table.js";
export { type ChromeTrace, chromeTrace, type TraceEvent } from "./trace.js";
