/** The files of one model while it is loaded: JSON, weights made ready before they are read, and the progress of all of them. */
import { FormatError } from "../core/errors.js";
import { ProgressTally, percent } from "../hub/progress.js";
import type { ByteRange, FileSource, ProgressEvent } from "../hub/source.js";

/** How far loading is: events of files as transformers.js has them, and `tensor`. */
export interface LoadProgress extends Omit<ProgressEvent, "status"> {
  /**
   * Those of `ProgressEvent`; `tensor`: a part of a tensor is on the device, and `loaded` and `total` count bytes of tensors as they
   * are in the files.
   */
  readonly status: ProgressEvent["status"] | "tensor";
  /** Of `tensor`: its name in the file. */
  readonly tensor?: string;
  /** Of `tensor`: whether its values are rounded on the way. */
  readonly stage?: "load" | "quantize";
}

/** A source whose reads are watched. Files that are read by ranges are weights. */
export class ModelFiles implements FileSource {
  readonly label: string;
  readonly #source: FileSource;
  readonly #op: string;
  readonly #signal: AbortSignal | undefined;
  readonly #onProgress: ((event: LoadProgress) => void) | undefined;
  readonly #tally: ProgressTally;
  /** Files by ranges, with their sizes. */
  readonly #weights = new Map<string, number>();
  readonly #ready = new Set<string>();
  /** Bytes read of weights that no cache keeps. */
  readonly #streamed = new Map<string, number>();
  #tensorBytes = 0;
  #loaded = 0;
  /** What happens to the tensors that are read. */
  stage: "load" | "quantize" = "load";

  constructor(
    op: string,
    source: FileSource,
    signal: AbortSignal | undefined,
    onProgress: ((event: LoadProgress) => void) | undefined,
  ) {
    this.label = source.label;
    this.#op = op;
    this.#source = source;
    this.#signal = signal;
    this.#onProgress = onProgress;
    this.#tally = new ProgressTally(source.label, (event) => onProgress?.(event));
  }

  has(path: string): Promise<boolean> {
    return this.#source.has(path, this.#signal);
  }

  async list(): Promise<readonly string[]> {
    return (await this.#source.list?.(this.#signal)) ?? [];
  }

  async size(path: string): Promise<number> {
    const size = await this.#source.size(path, this.#signal);
    this.#weights.set(path, size);
    return size;
  }

  async read(path: string, range?: ByteRange, signal = this.#signal, into?: Uint8Array): Promise<Uint8Array> {
    const bytes = await this.#source.read(path, range, signal, into);
    const read = this.#streamed.get(path);
    if (read !== undefined) {
      this.#streamed.set(path, read + bytes.length);
      this.#tell("progress", path, read + bytes.length);
    }
    return bytes;
  }

  /** @throws FileError, FormatError; the reason of the signal. */
  async json(path: string): Promise<unknown> {
    await this.#prepare(path, await this.#source.size(path, this.#signal));
    const bytes = await this.#source.read(path, undefined, this.#signal);
    try {
      return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    } catch (cause) {
      throw new FormatError(`${this.label}/${path} is no JSON in UTF-8`, { op: this.#op, cause });
    }
  }

  /** Bytes of all files that have been asked for, weights as wholes. */
  get bytes(): number {
    const others = this.#tally.sums.total;
    return [...this.#weights.values()].reduce((sum, size) => sum + size, others);
  }

  /** Downloads the weights that have been opened. */
  async prepareWeights(): Promise<void> {
    for (const [path, size] of this.#weights) this.#tally.expect(path, size);
    for (const [path, size] of this.#weights) {
      await this.#prepare(path, size);
      if (this.#ready.has(path)) continue;
      this.#streamed.set(path, 0);
      for (const status of ["initiate", "download"] as const) this.#tell(status, path, 0);
    }
  }

  /** So many bytes of tensors will be read. */
  expectTensors(bytes: number): void {
    this.#tensorBytes = bytes;
  }

  /** Bytes of a tensor that are on the device now. */
  tensor(tensor: string, bytes: number): void {
    const { stage } = this;
    this.#loaded += bytes;
    const [loaded, total] = [this.#loaded, this.#tensorBytes];
    const progress = percent(loaded, total);
    this.#onProgress?.({
      status: "tensor",
      name: this.label,
      file: "",
      tensor,
      stage,
      loaded,
      total,
      progress,
    });
  }

  /** The model is loaded. */
  finish(): void {
    for (const path of this.#streamed.keys()) this.#tell("done", path, this.#weights.get(path)!);
    const { loaded, total } = this.#tally.sums;
    this.#onProgress?.({ status: "ready", name: this.label, file: "", loaded, total, progress: 100 });
  }

  async #prepare(path: string, size: number): Promise<void> {
    const { prepare } = this.#source;
    if (prepare === undefined) {
      this.#ready.add(path);
      this.#tally.isThere(path, size);
      return;
    }
    await prepare.call(this.#source, path, {
      ...(this.#signal && { signal: this.#signal }),
      onProgress: (event) => {
        if (event.status === "done") this.#ready.add(path);
        this.#tally.update(event);
      },
    });
  }

  #tell(status: "initiate" | "download" | "progress" | "done", file: string, loaded: number): void {
    const total = this.#weights.get(file)!;
    const progress = percent(loaded, total);
    this.#tally.update({ status, name: this.label, file, loaded, total, progress });
  }
}
