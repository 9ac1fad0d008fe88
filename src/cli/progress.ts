/** Shows a training run: a bar where stderr is a terminal, a line every few seconds elsewhere. */
import { SingleBar } from "cli-progress";
import { describeEnergy, type EnergyFigure } from "../energy/index.js";
import type { Callback } from "../train/index.js";

const secondsBetweenLines = 5;

/** What is shown next to the position. */
interface Figures {
  readonly epoch: number;
  readonly epochs: number;
  readonly loss: number;
  readonly accuracy: number;
  readonly samplesPerSecond: number;
  readonly energy: EnergyFigure | undefined;
}

/** How much the newest step counts in the displayed averages. */
const smoothing = 0.05;

/** A callback that shows progress, until `end()`, which is also called when the training fails. */
export interface ProgressDisplay extends Callback {
  end(): void;
}

/** Progress on `stream` (stderr, so that stdout holds results only). */
export function showProgress(stream: NodeJS.WriteStream = process.stderr): ProgressDisplay {
  const view = stream.isTTY ? new BarView(stream) : new LineView(stream);
  let epochs = 0;
  let loss = Number.NaN;
  let correct = Number.NaN;
  let samples = 0;
  let started = 0;
  const average = (old: number, value: number) =>
    Number.isNaN(old) ? value : old + smoothing * (value - old);
  return {
    onStart(plan) {
      epochs = plan.epochs;
      started = performance.now();
      view.start(plan.epochs * plan.stepsPerEpoch, plan.state.step);
    },
    onWarmup: ({ done, all }) => view.note(`compiling shaders ${done}/${all}`),
    onStep(record) {
      samples += record.samples;
      loss = average(loss, record.loss);
      correct = average(correct, record.metrics.accuracy);
      const samplesPerSecond = (samples * 1000) / (performance.now() - started);
      view.step(record.step, {
        epoch: record.epoch,
        epochs,
        loss,
        accuracy: correct,
        samplesPerSecond,
        energy: record.energy,
      });
    },
    onResume({ path, step, skipped }) {
      for (const { path: damaged, reason } of skipped) stream.write(`skipped ${damaged}: ${reason}\n`);
      stream.write(`resuming after step ${step} from ${path}\n`);
    },
    end: () => view.end(),
  };
}

interface View {
  start(steps: number, done: number): void;
  /** What is done before the next step. */
  note(what: string): void;
  step(step: number, figures: Figures): void;
  end(): void;
}

class BarView implements View {
  readonly #bar: SingleBar;

  constructor(stream: NodeJS.WriteStream) {
    this.#bar = new SingleBar({
      stream,
      format: "epoch {epoch} {bar} {percentage}% | {figures} | ETA {eta_formatted}",
      hideCursor: true,
      etaBuffer: 50,
      gracefulExit: false,
    });
  }

  start(steps: number, done: number): void {
    // A second Ctrl-C leaves without end(); the cursor must come back then too.
    process.on("exit", this.#stop);
    this.#bar.start(steps, done, { epoch: "", figures: "compiling" });
  }

  note(what: string): void {
    if (this.#bar.isActive) this.#bar.update({ figures: what });
  }

  step(step: number, figures: Figures): void {
    if (!this.#bar.isActive) return;
    this.#bar.update(step, { epoch: `${figures.epoch}/${figures.epochs}`, figures: describe(figures) });
  }

  end(): void {
    process.off("exit", this.#stop);
    this.#stop();
  }

  readonly #stop = (): void => {
    if (this.#bar.isActive) this.#bar.stop();
  };
}

class LineView implements View {
  readonly #stream: NodeJS.WriteStream;
  #steps = 0;
  #done = 0;
  #started = 0;
  #printed = 0;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  start(steps: number, done: number): void {
    this.#steps = steps;
    this.#done = done;
    this.#started = performance.now();
    this.#printed = this.#started;
  }

  note(what: string): void {
    if (this.#isDue(performance.now())) this.#stream.write(`${what}\n`);
  }

  step(step: number, figures: Figures): void {
    const now = performance.now();
    if (!this.#isDue(now) && step < this.#steps) return;
    const left = (((now - this.#started) / 1000) * (this.#steps - step)) / (step - this.#done);
    const position = `step ${step}/${this.#steps}, epoch ${figures.epoch}/${figures.epochs}`;
    this.#stream.write(`${position} | ${describe(figures)} | ETA ${Math.ceil(left)} s\n`);
  }

  end(): void {}

  /** Whether it is time for another line. */
  #isDue(now: number): boolean {
    if (now - this.#printed < secondsBetweenLines * 1000) return false;
    this.#printed = now;
    return true;
  }
}

function describe({ loss, accuracy, samplesPerSecond, energy }: Figures): string {
  const figures = `loss ${loss.toFixed(4)} | accuracy ${(100 * accuracy).toFixed(1)} % | ${Math.round(samplesPerSecond)} samples/s`;
  // While it is unknown there is nothing to show: the report says why.
  return typeof energy?.joules === "number" ? `${figures} | ${describeEnergy(energy)}` : figures;
}
