/** What a checkpoint of `fit` holds, and how the parts of a training run are put back exactly where they were. */
import { flush } from "../compiler/realize.js";
import type { DataLoader, LoaderState } from "../data/index.js";
import type { Device } from "../device/device.js";
import type { HostTensor } from "../formats/index.js";
import type { Module } from "../nn/index.js";
import type { Generator, GeneratorState } from "../ops/index.js";
import type { LRScheduler, Optimizer, OptimizerState, SchedulerState } from "../optim/index.js";
import { ArgumentError, FormatError } from "../tensor/errors.js";
import { listCheckpoints, readNewestCheckpoint, writeCheckpoint } from "./checkpoint.js";
import type { EnergyState } from "./energy.js";
import type { EpochRecord } from "./history.js";
import { hostTensors } from "./host_tensors.js";

/** fit's own counters. */
export interface Progress {
  readonly epoch: number;
  readonly steps: number;
  readonly seconds: number;
  readonly epochSeconds: number;
  readonly sum: { readonly loss: number; readonly metrics: readonly number[]; readonly samples: number };
  readonly learningRate: number;
  readonly metricNames: readonly string[];
  readonly history: readonly EpochRecord[];
  /** If there was a meter. */
  readonly energy?: EnergyState;
}

/** The parts of a training run that carry state. */
export interface Parts {
  readonly model: Module;
  readonly optimizer: Optimizer<{ lr: number }>;
  readonly scheduler: LRScheduler | undefined;
  readonly loader: DataLoader;
  readonly generators: readonly Generator[];
}

/** The plain data of a checkpoint. */
interface State {
  readonly progress: Progress;
  readonly optimizer: OptimizerState["numbers"];
  readonly scheduler: SchedulerState | null;
  readonly loader: LoaderState;
  readonly generators: readonly GeneratorState[];
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

  constructor(directory: string, parts: Parts) {
    this.#directory = directory;
    this.#parts = parts;
  }

  /** @throws ArgumentError if the directory has checkpoints, which a run from the start would mix with its own. */
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
    flush(this.#device());
    const { tensors: moments, numbers } = optimizer.stateDict();
    const tensors = await hostTensors([
      ...prefixed(modelPrefix, model.stateDict()),
      ...prefixed(optimizerPrefix, moments),
    ]);
    const state: State = {
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
   * @throws FormatError if none is valid or it belongs to another run: other metrics, model, optimizer or data.
   */
  async load(metricNames: readonly string[]): Promise<Recovered | undefined> {
    const found = await readNewestCheckpoint(this.#directory);
    if (found === undefined) return undefined;
    const { model, optimizer, scheduler, loader, generators } = this.#parts;
    const state = found.state as State;
    try {
      checkState(state);
      if (state.progress.metricNames.join() !== metricNames.join()) {
        throw new FormatError(`it measured ${state.progress.metricNames.join(", ") || "no metrics"}`);
      }
      if (state.generators.length !== generators.length) {
        throw new FormatError(
          `it has ${state.generators.length} random generators, not ${generators.length}`,
        );
      }
      if ((state.scheduler === null) !== (scheduler === undefined)) {
        throw new FormatError(`it had ${state.scheduler === null ? "no" : "a"} learning-rate schedule`);
      }
      await model.loadStateDict(withPrefix(modelPrefix, found.tensors));
      await optimizer.loadStateDict({
        tensors: withPrefix(optimizerPrefix, found.tensors),
        numbers: state.optimizer,
      });
      // After the optimizer, whose learning rates are those of its last step.
      if (state.scheduler !== null) scheduler?.setState(state.scheduler);
      loader.setState(state.loader);
      generators.forEach((generator, i) => {
        generator.setState(state.generators[i]);
      });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new FormatError(`${found.path} belongs to another run: ${reason}`, {
        op: "resume",
        cause: error,
      });
    }
    return { progress: state.progress, path: found.path, skipped: found.skipped };
  }

  #device(): Device {
    return this.#parts.model.parameters()[0].device;
  }
}

/** What the parts do not check themselves when they take their state. @throws FormatError */
function checkState(state: Partial<State> | null): void {
  const progress: Partial<Progress> = state?.progress ?? {};
  const { epoch, steps, seconds, epochSeconds, learningRate, sum, metricNames, history } = progress;
  const complete =
    [epoch, steps].every((count) => Number.isSafeInteger(count) && count! >= 0) &&
    [seconds, epochSeconds, learningRate, sum?.loss, sum?.samples].every(Number.isFinite) &&
    [
      metricNames,
      history,
      sum?.metrics,
      state?.generators,
      state?.optimizer?.lr,
      state?.optimizer?.steps,
    ].every(Array.isArray) &&
    sum?.metrics.length === metricNames?.length &&
    (progress.energy === undefined || isEnergyState(progress.energy)) &&
    typeof state?.loader === "object" &&
    typeof state.scheduler === "object";
  if (!complete) throw new FormatError("its state is not complete");
}

function isEnergyState({ total, epoch }: Partial<EnergyState>): boolean {
  return [total, epoch ?? total].every(
    (figure) => figure && (figure.joules === null || Number.isFinite(figure.joules)) && figure.seconds >= 0,
  );
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
