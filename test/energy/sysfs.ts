/** A simulated /sys of temporary files, with the kernel's layout. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

export class Sysfs {
  readonly root = mkdtempSync(join(tmpdir(), "wattgrad-sys-"));

  write(path: string, value: string | number): void {
    const file = join(this.root, "class", path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${value}\n`);
  }

  /** A RAPL zone; `joules` is where its counter stands. */
  zone(entry: string, name: string, joules: number, rangeJoules = 262_143.328): void {
    this.write(`powercap/${entry}/name`, name);
    this.write(`powercap/${entry}/max_energy_range_uj`, Math.round(rangeJoules * 1e6));
    this.count(entry, joules);
  }

  count(entry: string, joules: number): void {
    this.write(`powercap/${entry}/energy_uj`, Math.round(joules * 1e6));
  }

  remove(path: string): void {
    rmSync(join(this.root, "class", path), { recursive: true });
  }

  dispose(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
