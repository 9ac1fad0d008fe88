/** Processor time of a browser, on Linux: with software rendering on a busy machine it varies less than wall time. */
import { readdirSync, readFileSync } from "node:fs";

/** Milliseconds per clock tick of /proc: USER_HZ is 100 on every architecture that browsers run on. */
const tick = 10;

/** The fields of /proc/PID/stat behind the name, which may hold spaces; undefined for a process that has ended. */
function statOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}

/** Milliseconds that a process and its descendants have used so far; undefined where there is no /proc. */
export function processorTime(root) {
  let pids;
  try {
    pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return undefined;
  }
  const processes = new Map(pids.map((pid) => [Number(pid), statOf(pid)]).filter(([, stat]) => stat));
  const belongs = (pid) => pid === root || (processes.has(pid) && belongs(Number(processes.get(pid)[1])));
  let ticks = 0;
  for (const [pid, stat] of processes) if (belongs(pid)) ticks += Number(stat[11]) + Number(stat[12]);
  return ticks * tick;
}
