/**
 * Integrates the power samples that a program prints into a counter of joules. Uses the samples' own time stamps: lines wait in
 * the pipe while the thread computes.
 */
import { endMeter, startMeter } from "./child.js";
import { EnergyError } from "./source.js";

/** Mean power since the previous sample. */
export interface PowerSample {
  /** Part with its own power, for example one of several GPUs. */
  readonly part: string;
  /** Time of the sample in milliseconds since 1970. */
  readonly time: number;
  readonly watts: number;
}

/** Turns lines into samples; lines without one give undefined. @throws EnergyError for a program that cannot measure. */
export type ParseLine = (line: string) => PowerSample | undefined;

/** Characters kept of stderr or of an unfinished line. */
const longestText = 10_000;
/** Milliseconds without output after which the program counts as dead. */
const timeoutMilliseconds = 5000;

interface Part {
  time: number;
  watts: number;
  joules: number;
}

export class PowerStream {
  readonly #name: string;
  readonly #child: import("node:child_process").ChildProcess;
  readonly #parse: ParseLine;
  readonly #parts = new Map<string, Part>();
  readonly #waiting = new Set<() => void>();
  #rest = "";
  #errors = "";
  #failure: EnergyError | undefined;

  constructor(command: string, args: readonly string[], parse: ParseLine) {
    this.#name = command;
    this.#parse = parse;
    this.#child = startMeter(command, args);
    this.#child.stdout!.on("data", (text: string) => this.#take(text));
    this.#child.stderr!.on("data", (text: string) => {
      this.#errors = (this.#errors + text).slice(0, longestText);
    });
    this.#child.on("error", (error) => this.#fail(`cannot start ${command}: ${error.message}`));
    this.#child.on("close", (code) => {
      const why = this.#errors.trim().split("\n")[0] || `exit code ${code}`;
      this.#fail(`${command} ended: ${why}`);
    });
    // The child does not keep this process alive.
    this.#child.unref();
    for (const pipe of [this.#child.stdout, this.#child.stderr]) (pipe as { unref?(): void }).unref?.();
  }

  /** Number of parts with samples. */
  get parts(): number {
    return this.#parts.size;
  }

  /** Joules of all parts from the first sample until now. */
  async read(): Promise<number> {
    const now = Date.now();
    await this.#until(
      () => this.#parts.size > 0 && [...this.#parts.values()].every(({ time }) => time >= now),
    );
    // The latest sample may be newer than the time of the request.
    return [...this.#parts.values()].reduce(
      (sum, { joules, watts, time }) => sum + joules - (watts * (time - now)) / 1000,
      0,
    );
  }

  close(): void {
    this.#failure ??= new EnergyError(`${this.#name} was closed`);
    endMeter(this.#child);
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop()!.slice(0, longestText);
    for (const line of lines) {
      try {
        const sample = this.#parse(line);
        if (sample !== undefined) this.#add(sample);
      } catch (error) {
        this.#failure ??= error instanceof EnergyError ? error : new EnergyError(String(error));
      }
    }
    this.#wake();
  }

  #add({ part, time, watts }: PowerSample): void {
    const known = this.#parts.get(part);
    if (known === undefined) {
      this.#parts.set(part, { time, watts, joules: 0 });
      return;
    }
    // The system clock was set back: skip the sample.
    if (time > known.time) known.joules += (watts * (time - known.time)) / 1000;
    known.time = time;
    known.watts = watts;
  }

  #fail(message: string): void {
    this.#failure ??= new EnergyError(message);
    this.#wake();
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  #until(isReached: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#failure ??= new EnergyError(
          `${this.#name} has printed nothing for ${timeoutMilliseconds / 1000} s`,
        );
        check();
      }, timeoutMilliseconds);
      const check = () => {
        const done = this.#failure !== undefined || isReached();
        if (!done) return;
        clearTimeout(timer);
        this.#waiting.delete(check);
        if (this.#failure !== undefined) reject(this.#failure);
        else resolve();
      };
      this.#waiting.add(check);
      check();
    });
  }
}
