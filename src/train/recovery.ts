/** Contents of the checkpoints of `fit`, and the exact restoration of a training run from them. */

import { ArgumentError, FormatError } from "../core/errors.js";
import type { Device } from "../device/device.js";
import type { HostTensor } from "../formats/index.js";
import type { Module } from "../nn/index.js";
import type { Generator } from "../ops/index.js";
import type { LRScheduler, Optimizer } from "../optim/index.js";
import { commit } from "../runtime/commit.js";
import type { ResumableBatches } from "./batches.js";
import { type Checkpoint, listCheckpoints, readNewestCheckpoint, writeCheckpoint } from "./checkpoint.js";
import { type Progress, parseState, type TrainingState } from "./checkpoint_state.js";
import { type DirectoryLock, lockDirectory } from "./directory_lock.js";
import { hostTensors } from "./host_tensors.js";

/** The parts of a training run that carry state. */
export interface Parts {
  readonly model: Module;
  readonly optimizer: Optimizer<{ lr: number }>;
  readonly scheduler: LRScheduler | undefined;
  readonly loader: ResumableBatches;
  readonly generators: readonly Generator[];
}

/** A checkpoint that was loaded. */
export interface Recovered {
  readonly progress: Progress;
  readonly path: string;
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
}

const modelPrefix = "model.";
const optimizerPrefix = "optimizer.";

/** Saves and restores one training run in one directory. */
export class Recovery {
  readonly #directory: string;
  readonly #parts: Parts;
  #lock: DirectoryLock | undefined;

  constructor(directory: string, parts: Parts) {
    this.#directory = directory;
    this.#parts = parts;
  }

  /** Takes the directory for this run alone. @throws FileError if another run has it. */
  async open(): Promise<void> {
    this.#lock = await lockDirectory(this.#directory);
  }

  async close(): Promise<void> {
    await this.#lock?.release();
  }

  /** @throws ArgumentError if the directory has checkpoints, because a new run would mix its own with them. */
  async requireEmpty(): Promise<void> {
    if ((await listCheckpoints(this.#directory)).length === 0) return;
    throw new ArgumentError(`${this.#directory} has checkpoints of an earlier run`, {
      op: "fit",
      hint: "resume it, or choose another directory",
    });
  }

  /** Writes a checkpoint of everything as it is now; returns its path. */
  async save(progress: Progress): Promise<string> {
    const { model, optimizer, scheduler, loader, generators } = this.#parts;
    commit(this.#device());
    const { tensors: moments, numbers } = optimizer.stateDict();
    const tensors = await hostTensors([
      ...prefixed(modelPrefix, model.stateDict()),
      ...prefixed(optimizerPrefix, moments),
    ]);
    const state: TrainingState = {
      progress,
      optimizer: numbers,
      scheduler: scheduler?.state() ?? null,
      loader: loader.state(),
      generators: generators.map((generator) => generator.state()),
    };
    return writeCheckpoint(this.#directory, progress.steps, { tensors, state });
  }

  /**
   * Puts everything back as the newest valid checkpoint has it; undefined if there is no checkpoint.
   *
   * @throws FormatError if none is valid or it belongs to another run: other metrics, model, optimizer or data; nothing
   * has changed then.
   */
  async load(metricNames: readonly string[]): Promise<Recovered | undefined> {
    const found = await readNewestCheckpoint(this.#directory);
    if (found === undefined) return undefined;
    const { path, skipped } = found;
    const fail = (what: string) => (error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      throw new FormatError(`${path} ${what}: ${reason}`, { op: "resume", cause: error });
    };
    let state: TrainingState;
    try {
      state = parseState(found.state);
    } catch (error) {
      return fail("is damaged")(error);
    }
    await this.#apply(state, found.tensors, metricNames).catch(fail("belongs to another run"));
    return { progress: state.progress, path, skipped };
  }

  /** All or nothing: if one part does not take its state, the others have theirs as before. */
  async #apply(
    state: TrainingState,
    tensors: Checkpoint["tensors"],
    metricNames: readonly string[],
  ): Promise<void> {
    const { model, optimizer, scheduler, loader, generators } = this.#parts;
    if (state.progress.metricNames.join() !== metricNames.join()) {
      throw new FormatError(`it measured ${state.progress.metricNames.join(", ") || "no metrics"}`);
    }
    if (state.generators.length !== generators.length) {
      throw new FormatError(`it has ${state.generators.length} random generators, not ${generators.length}`);
    }
    if ((state.scheduler === null) !== (scheduler === undefined)) {
      throw new FormatError(`it had ${state.scheduler === null ? "no" : "a"} learning-rate schedule`);
    }
    const { tensors: moments, numbers } = optimizer.stateDict();
    const before = {
      moments: await hostTensors(moments),
      loader: loader.next(),
      generators: generators.map((generator) => generator.state()),
      scheduler: scheduler?.state(),
    };
    try {
      loader.setState(state.loader);
      generators.forEach((generator, i) => {
        generator.setState(state.generators[i]);
      });
      await optimizer.loadStateDict({
        tensors: withPrefix(optimizerPrefix, tensors),
        numbers: state.optimizer,
      });
      // After the optimizer, because the schedule sets the learning rates.
      if (state.scheduler !== null) scheduler?.setState(state.scheduler);
      // The last: it checks everything before it changes anything.
      await model.loadStateDict(withPrefix(modelPrefix, tensors));
    } catch (error) {
      loader.setState(before.loader);
      generators.forEach((generator, i) => {
        generator.setState(before.generators[i]);
      });
      await optimizer.loadStateDict({ tensors: before.moments, numbers });
      if (before.scheduler !== undefined) scheduler?.setState(before.scheduler);
      throw error;
    }
  }

  #device(): Device {
    return this.#parts.model.parameters()[0].device;
  }
}

function* prefixed<T>(prefix: string, entries: Iterable<readonly [string, T]>): Iterable<[string, T]> {
  for (const [name, value] of entries) yield [prefix + name, value];
}

function withPrefix(prefix: string, tensors: ReadonlyMap<string, HostTensor>): Map<string, HostTensor> {
  return new Map(
    [...tensors].flatMap(([name, tensor]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), tensor] as const] : [],
    ),
  );
}
