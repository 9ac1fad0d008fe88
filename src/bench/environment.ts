/** The machine that a run was made on, as the files of runs tell it. */
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";

export interface Environment {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly platform: string;
  /** Processes that wanted a core in the minute before. */
  readonly load: number;
}

/** `load`: as it was before the run, which itself is a load. */
export function environmentOf(load: number): Environment {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    platform: `${process.platform} ${process.arch}`,
    load,
  };
}

/** Before a run. */
export function currentLoad(): number {
  return loadavg()[0];
}
