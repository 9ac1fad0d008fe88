/** Description of the machine, as stored in result files. */
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";

export interface Environment {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly platform: string;
  /** Load average of the last minute. */
  readonly load: number;
}

/** `load` is measured before the run, which itself adds load. */
export function environmentOf(load: number): Environment {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    platform: `${process.platform} ${process.arch}`,
    load,
  };
}

/** Call before the run. */
export function currentLoad(): number {
  return loadavg()[0];
}
