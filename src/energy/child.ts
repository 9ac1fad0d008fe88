/** Programs that measure, each in a process group of its own: what they have started ends with them. Node only. */
import { nodeModule } from "./source.js";

type Child = import("node:child_process").ChildProcess;

const running = new Set<Child>();

/** Starts a program, or a line for the shell, whose output is read. A meter is no reason for this process to go on. */
export function startMeter(command: string, args?: readonly string[]): Child {
  const child = nodeModule("node:child_process").spawn(command, args ?? [], {
    stdio: ["ignore", "pipe", "pipe"],
    shell: args === undefined,
    detached: process.platform !== "win32",
    windowsHide: true,
  });
  if (running.size === 0) process.on("exit", endAll);
  running.add(child);
  // "exit" alone: what a shell has left behind may hold the pipes. What could not be started has no group.
  child.once("error", () => unregister(child)).once("exit", () => endMeter(child));
  child.stdout!.setEncoding("utf8");
  child.stderr!.setEncoding("utf8");
  return child;
}

/** Ends a program and all of its group. */
export function endMeter(child: Child): void {
  if (!running.has(child)) return;
  unregister(child);
  try {
    if (process.platform === "win32" || child.pid === undefined) child.kill("SIGKILL");
    else process.kill(-child.pid, "SIGKILL");
  } catch {
    // Nobody of the group is left.
  }
}

function unregister(child: Child): void {
  running.delete(child);
  if (running.size === 0) process.off("exit", endAll);
}

function endAll(): void {
  for (const child of [...running]) endMeter(child);
}
