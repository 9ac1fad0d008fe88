/** Collects the outcomes of a sweep: counts, differences by reason, and unexplained differences. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import type { Case } from "../cases/case.js";
import { readFixture } from "../fixtures/read.js";
import { type Computed, compareProbe, type DeviceKind, describePlace, type Expected } from "./compare.js";
import { type Difference, differences } from "./differences.js";

/** Unexplained differences that a failure shows. */
const mostShown = 40;

export class Sweep {
  readonly #fixture = readFixture(
    gunzipSync(readFileSync(new URL("../fixtures/sweep.safetensors.gz", import.meta.url))),
  );
  readonly #counts = new Map<string, { probes: number; numbers: number; found: Map<Difference, number> }>();
  readonly #used: { readonly kind: DeviceKind; readonly difference: Difference }[] = [];
  #unexplained: string[] = [];

  /** Name and key of each probe that the fixtures were made from. */
  get keys(): string[] {
    const made: Record<string, string> = JSON.parse(this.#fixture.metadata.cases);
    return Object.entries(made).map(([name, text]) => `${name}: ${text.split(" ")[0]}`);
  }

  /** `computed` by the device that is called `label`. */
  add(probe: Case, label: string, kind: DeviceKind, computed: Computed): void {
    const { unexplained, explained } = compareProbe(probe, kind, computed, this.#expected(probe.name));
    const counts = this.#counts.get(label) ?? { probes: 0, numbers: 0, found: new Map() };
    this.#counts.set(label, counts);
    counts.probes++;
    counts.numbers += computed.numbers.length;
    for (const difference of explained) {
      counts.found.set(difference, (counts.found.get(difference) ?? 0) + 1);
      this.#used.push({ kind, difference });
    }
    this.#unexplained.push(...unexplained.map(describePlace));
  }

  /** The first differences without a reason since the last call. */
  takeUnexplained(): string[] {
    const taken = this.#unexplained;
    this.#unexplained = [];
    return taken.slice(0, mostShown);
  }

  /** Reasons that the list gives for devices of this kind, and that none of these needed. */
  unused(kind: DeviceKind): string[] {
    const isUsed = (difference: Difference) =>
      this.#used.some((used) => used.kind === kind && used.difference === difference);
    return differences
      .filter((difference) => difference.kinds.includes(kind) && !isUsed(difference))
      .map(({ reason }) => `${kind}: ${reason}`);
  }

  summary(label: string): string {
    const { probes, numbers, found } = this.#counts.get(label)!;
    const lines = [...found].map(([{ reason }, count]) => `\n  ${count}: ${reason}`);
    return `${label}: ${probes} probes, ${numbers} numbers compared with PyTorch${lines.join("")}`;
  }

  #expected(name: string): Expected {
    const { tensors } = this.#fixture;
    const pairs = tensors.get(`${name}/float32`) ?? [];
    const single = new Map<number, number>();
    for (let i = 0; i < pairs.length; i += 2) single.set(pairs[i], pairs[i + 1]);
    return { double: tensors.get(name)!, single };
  }
}
