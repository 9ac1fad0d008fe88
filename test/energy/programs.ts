/** Programs that simulate meters, written to a temporary directory. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export class Programs {
  readonly directory = mkdtempSync(join(tmpdir(), "wattgrad-programs-"));

  /** An executable JavaScript file; returns its path. */
  add(name: string, source: string): string {
    const path = join(this.directory, name);
    writeFileSync(path, `#!${process.execPath}\n${source}`);
    chmodSync(path, 0o755);
    return path;
  }

  dispose(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** nvidia-smi in its loop: these GPUs draw constant powers; `lines` ends it after so many, with an error. */
export function fakeNvidia(watts: readonly (number | string)[], lines = Number.POSITIVE_INFINITY): string {
  return `
const period = Number(process.argv.find((arg) => arg.startsWith("--loop-ms=")).split("=")[1]);
const asked = "--query-gpu=index,timestamp,power.draw";
if (!process.argv.includes(asked)) { console.error("unknown query"); process.exit(2); }
const pad = (n, length = 2) => String(n).padStart(length, "0");
let left = ${lines === Number.POSITIVE_INFINITY ? "Infinity" : lines};
const print = () => {
  const d = new Date();
  const stamp = d.getFullYear() + "/" + pad(d.getMonth() + 1) + "/" + pad(d.getDate()) + " " +
    pad(d.getHours()) + ":" + pad(d.getMinutes()) + ":" + pad(d.getSeconds()) + "." + pad(d.getMilliseconds(), 3);
  ${JSON.stringify(watts)}.forEach((power, i) => console.log(i + ", " + stamp + ", " + power));
  if (--left <= 0) { console.error("Unable to determine the device handle: GPU is lost"); process.exitCode = 15; clearInterval(timer); }
};
const timer = setInterval(print, period);
print();
`;
}
