/** Progress of several files as one: transformers.js's `progress_total` behind the events of each file. */
import type { FileProgress, ProgressEvent } from "./source.js";

/** Passes on the events of files; each `progress` is followed by the sums over all files that are known. */
export class ProgressTally {
  readonly #name: string;
  readonly #report: (event: ProgressEvent) => void;
  readonly #files = new Map<string, FileProgress>();

  constructor(name: string, report: (event: ProgressEvent) => void) {
    this.#name = name;
    this.#report = report;
  }

  /** Makes a file part of the sums before anything of it is there. */
  expect(file: string, total: number): void {
    if (!this.#files.has(file)) this.#files.set(file, { loaded: 0, total });
  }

  /** An event of one file. */
  readonly update = (event: ProgressEvent): void => {
    const { status, file, loaded, total } = event;
    this.#files.set(file, { loaded, total });
    this.#report(event);
    if (status === "progress") this.#report(this.#total());
  };

  /** All events of a file that is on this machine already. */
  isThere(file: string, total: number): void {
    for (const status of ["initiate", "download", "progress", "done"] as const) {
      const loaded = status === "progress" || status === "done" ? total : 0;
      this.update({ status, name: this.#name, file, loaded, total, progress: percent(loaded, total) });
    }
  }

  /** Bytes that are there, and all. */
  get sums(): FileProgress {
    let [loaded, total] = [0, 0];
    for (const file of this.#files.values()) {
      loaded += file.loaded;
      total += file.total;
    }
    return { loaded, total };
  }

  #total(): ProgressEvent {
    const { loaded, total } = this.sums;
    const files = Object.fromEntries(this.#files);
    const progress = percent(loaded, total);
    return { status: "progress_total", name: this.#name, file: "", loaded, total, progress, files };
  }
}

/** Of nothing, all is there. */
export function percent(loaded: number, total: number): number {
  return total === 0 ? 100 : (100 * loaded) / total;
}
