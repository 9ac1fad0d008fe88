/** A trainer and its messages, for tests. */
import { loadMnist, type Mnist } from "../../src/data/index.js";
import type { Command, Report } from "../../src/playground/messages.js";
import { Trainer } from "../../src/playground/trainer.js";

export const train = await loadMnist("test/data/mnist", { split: "train" });
/** Few, so that tests between rounds are short. */
export const testImages = firstOf(await loadMnist("test/data/mnist", { split: "test" }), 100);

export function firstOf({ images, labels }: Mnist, count: number): Mnist {
  const shape = [count, ...images.shape.slice(1)];
  return {
    images: { ...images, shape, data: images.data.slice(0, (count * images.data.length) / images.shape[0]) },
    labels: { ...labels, shape: [count], data: labels.data.slice(0, count) },
  };
}

type Kind = Report["kind"];
type Of<K extends Kind> = Extract<Report, { kind: K }>;

export class Conversation {
  readonly reports: Report[] = [];
  readonly trainer: Trainer;
  readonly #waiting = new Set<() => void>();

  constructor(data: { readonly train?: Mnist } = {}) {
    this.trainer = new Trainer({
      train: data.train ?? train,
      test: testImages,
      learningRate: 0.001,
      batchSize: 32,
      post: (report) => {
        this.reports.push(report);
        for (const check of this.#waiting) check();
      },
    });
  }

  /** The first report from now on that `matches`. */
  next<K extends Kind>(kind: K, matches: (report: Of<K>) => boolean = () => true): Promise<Of<K>> {
    const from = this.reports.length;
    return new Promise((resolve) => {
      const check = () => {
        const found = this.reports
          .slice(from)
          .find((r): r is Of<K> => r.kind === kind && matches(r as Of<K>));
        if (found === undefined) return;
        this.#waiting.delete(check);
        resolve(found);
      };
      this.#waiting.add(check);
    });
  }

  /** Gives the command and waits for an answer to it. */
  ask<K extends Kind>(command: Command, kind: K, matches?: (report: Of<K>) => boolean): Promise<Of<K>> {
    const answer = this.next(kind, matches);
    this.trainer.handle(command);
    return answer;
  }

  async pause(): Promise<void> {
    this.trainer.handle({ kind: "pause" });
    await this.trainer.idle();
  }

  all<K extends Kind>(kind: K): Of<K>[] {
    return this.reports.filter((report): report is Of<K> => report.kind === kind);
  }
}
