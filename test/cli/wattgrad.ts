/** Runs the built command line program in a separate process. */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export const program = fileURLToPath(new URL("../../dist/cli.js", import.meta.url));

export interface Outcome {
  /** Null if a signal ended the process. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Run {
  readonly child: ChildProcess;
  readonly ended: Promise<Outcome>;
}

/** Starts `wattgrad …`; its working directory is `cwd`. */
export function start(args: readonly string[], cwd: string, path = program): Run {
  const child = spawn(process.execPath, [path, ...args], { cwd, stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const ended = new Promise<Outcome>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  return { child, ended };
}

/** `wattgrad …` to its end. */
export function run(args: readonly string[], cwd: string, path = program): Promise<Outcome> {
  return start(args, cwd, path).ended;
}
