/** Collects a sweep's outcomes: counts, differences by their reasons, and what is not explained. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import type { Case } from "../cases/case.js";
import { readFixture } from "../fixtures/read.js";
import { compareProbe, describePlace, type Expected, type Precision } from "./compare.js";

export class Sweep {
  readonly #fixture = readFixture(
    gunzipSync(readFileSync(new URL("../fixtures/sweep.safetensors.gz", import.meta.url))),
  );
  readonly #counts = new Map<string, { probes: number; numbers: number; reasons: Map<string, number> }>();
  #unexplained: string[] = [];

  /** Name and key of each probe that the fixtures were made from. */
  get keys(): string[] {
    const made: Record<string, string> = JSON.parse(this.#fixture.metadata.cases);
    return Object.entries(made).map(([name, text]) => `${name}: ${text.split(" ")[0]}`);
  }

  /** `numbers` are the output and then the gradients of the probe on that device. */
  add(probe: Case, device: string, precision: Precision, numbers: ArrayLike<number>): void {
    const { compared, unexplained, explained } = compareProbe(
      probe,
      device,
      precision,
      numbers,
      this.#expected(probe.name),
    );
    const counts = this.#counts.get(device) ?? { probes: 0, numbers: 0, reasons: new Map() };
    this.#counts.set(device, counts);
    counts.probes++;
    counts.numbers += compared;
    for (const [{ reason }, count] of explained) {
      counts.reasons.set(reason, (counts.reasons.get(reason) ?? 0) + count);
    }
    this.#unexplained.push(...unexplained.map(describePlace));
  }

  /** The differences without a reason since the last call. */
  takeUnexplained(): string[] {
    const taken = this.#unexplained;
    this.#unexplained = [];
    return taken;
  }

  reasonsOf(device: string): string[] {
    return [...(this.#counts.get(device)?.reasons.keys() ?? [])];
  }

  summary(device: string): string {
    const { probes, numbers, reasons } = this.#counts.get(device)!;
    const lines = [...reasons].map(([reason, count]) => `\n  ${count}: ${reason}`);
    return `${device}: ${probes} probes, ${numbers} numbers compared with PyTorch${lines.join("")}`;
  }

  #expected(name: string): Expected {
    const { tensors } = this.#fixture;
    const pairs = tensors.get(`${name}/float32`) ?? [];
    const single = new Map<number, number>();
    for (let i = 0; i < pairs.length; i += 2) single.set(pairs[i], pairs[i + 1]);
    return { double: tensors.get(name)!, single };
  }
}
