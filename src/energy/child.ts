/** Child processes of meters. Each has its own process group, so that its children are killed with it. Node only. */
import { nodeModule } from "./source.js";

type Child = import("node:child_process").ChildProcess;

const running = new Set<Child>();

/** Starts a program or a shell command and reads its output. The child does not keep this process alive. */
export function startMeter(command: string, args?: readonly string[]): Child {
  const child = nodeModule("node:child_process").spawn(command, args ?? [], {
    stdio: ["ignore", "pipe", "pipe"],
    shell: args === undefined,
    detached: process.platform !== "win32",
    windowsHide: true,
  });
  if (running.size === 0) process.on("exit", endAll);
  running.add(child);
  // Not "close": background children of a shell may keep the pipes open. A failed spawn has no process group.
  child.once("error", () => unregister(child)).once("exit", () => endMeter(child));
  child.stdout!.setEncoding("utf8");
  child.stderr!.setEncoding("utf8");
  return child;
}

/** Kills a child's process group. */
export function endMeter(child: Child): void {
  if (!running.has(child)) return;
  unregister(child);
  try {
    if (process.platform === "win32" || child.pid === undefined) child.kill("SIGKILL");
    else process.kill(-child.pid, "SIGKILL");
  } catch {
    // The group has already ended.
  }
}

function unregister(child: Child): void {
  running.delete(child);
  if (running.size === 0) process.off("exit", endAll);
}

function endAll(): void {
  for (const child of [...running]) endMeter(child);
}
