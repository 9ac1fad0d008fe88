/** Shows a training run: a bar where stderr is a terminal, a line every few seconds elsewhere. */
import { SingleBar } from "cli-progress";
import { describeEnergy, type EnergyFigure } from "../energy/index.js";
import type { Callback } from "../train/index.js";
import { columnsOf, print } from "./terminal.js";

const secondsBetweenLines = 5;

/** The values shown next to the position. */
interface Figures {
  readonly epoch: number;
  readonly epochs: number;
  readonly loss: number;
  readonly accuracy: number;
  readonly samplesPerSecond: number;
  readonly energy: EnergyFigure | undefined;
}

/** Weight of the newest step in the displayed moving averages. */
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
      view.start(plan.epochs * (plan.stepsPerEpoch ?? 0), plan.state.step);
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
      for (const { path: damaged, reason } of skipped) print(`skipped ${damaged}: ${reason}`, stream);
      print(`resuming after step ${step} from ${path}`, stream);
    },
    end: () => view.end(),
  };
}

interface View {
  start(steps: number, done: number): void;
  /** Text for work before the next step. */
  note(what: string): void;
  step(step: number, figures: Figures): void;
  end(): void;
}

/** The payload of each update of the bar. */
interface Payload {
  readonly columns: number;
  /** Text before the first step. */
  readonly note?: string;
  readonly figures?: Figures;
}

/** Maximum cells of the bar; in narrow terminals it is shorter or omitted. */
const [longestBar, shortestBar] = [40, 8];

/** One line that fits the terminal; the least important parts are omitted first. */
function formatBar(
  _: object,
  { progress, eta }: { readonly progress: number; readonly eta: number },
  { columns, note, figures }: Payload,
): string {
  const left = Number.isFinite(eta) && figures !== undefined ? `ETA ${duration(eta)}` : "ETA ?";
  // In the order of the line, each with its rank: higher ones go first.
  const parts: [rank: number, text: string][] = [[0, `${Math.floor(100 * progress)}%`]];
  if (figures !== undefined) {
    const { epoch, epochs, loss, accuracy, samplesPerSecond, energy } = figures;
    parts.unshift([3, `epoch ${epoch}/${epochs}`]);
    parts.push([2, `loss ${loss.toFixed(4)}`], [4, `accuracy ${(100 * accuracy).toFixed(1)} %`]);
    parts.push([1, `${Math.round(samplesPerSecond)} samples/s`]);
    if (typeof energy?.joules === "number") parts.push([5, describeEnergy(energy)]);
  }
  if (note !== undefined) parts.push([1, note]);
  parts.push([0, left]);
  const lineOf = () => parts.map(([, text]) => text).join(" | ");
  // A terminal that is full to its last cell may wrap.
  const room = () => columns - 1 - lineOf().length;
  while (room() < 0 && parts.some(([rank]) => rank > 0)) {
    const highest = Math.max(...parts.map(([rank]) => rank));
    parts.splice(
      parts.findIndex(([rank]) => rank === highest),
      1,
    );
  }
  const cells = Math.min(longestBar, room() - 1);
  if (cells < shortestBar) return lineOf().slice(0, columns - 1);
  const filled = Math.round(progress * cells);
  return `${"█".repeat(filled)}${"░".repeat(cells - filled)} ${lineOf()}`;
}

/** "12 s", "3:05 min", "1:02 h". */
function duration(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  if (whole < 60) return `${whole} s`;
  const [large, small, unit] =
    whole < 3600 ? [whole / 60, whole % 60, "min"] : [whole / 3600, (whole % 3600) / 60, "h"];
  return `${Math.floor(large)}:${String(Math.floor(small)).padStart(2, "0")} ${unit}`;
}

class BarView implements View {
  readonly #bar: SingleBar;
  readonly #stream: NodeJS.WriteStream;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    this.#bar = new SingleBar({
      stream,
      format: formatBar,
      hideCursor: true,
      etaBuffer: 50,
      gracefulExit: false,
    });
  }

  start(steps: number, done: number): void {
    // A second Ctrl-C exits without end(): show the cursor then as well.
    process.on("exit", this.#stop);
    this.#bar.start(steps, done, { columns: columnsOf(this.#stream), note: "compiling" });
  }

  note(what: string): void {
    if (this.#bar.isActive) this.#bar.update({ columns: columnsOf(this.#stream), note: what });
  }

  step(step: number, figures: Figures): void {
    if (!this.#bar.isActive) return;
    this.#bar.update(step, { columns: columnsOf(this.#stream), note: undefined, figures });
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
    if (this.#isDue(performance.now())) print(what, this.#stream);
  }

  step(step: number, figures: Figures): void {
    const now = performance.now();
    if (!this.#isDue(now) && step < this.#steps) return;
    const left = (((now - this.#started) / 1000) * (this.#steps - step)) / (step - this.#done);
    const position = `step ${step}/${this.#steps}, epoch ${figures.epoch}/${figures.epochs}`;
    print(`${position} | ${describe(figures)} | ETA ${Math.ceil(left)} s`, this.#stream);
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
