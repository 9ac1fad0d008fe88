/** Energy of a training so far: of the whole run, including resumed parts, and of the current epoch. */
import { type EnergyFigure, sumOfIntervals } from "../energy/figure.js";
import type { EnergyMeter, EnergyWindow } from "../energy/meter.js";

/** The part that checkpoints save. */
export interface EnergyState {
  readonly total: EnergyFigure;
  /** Energy of the current epoch; null before its start. */
  readonly epoch: EnergyFigure | null;
}

/** Interval in ms between readings of slow meters, which start a program or wait for a sample. */
const refreshMilliseconds = 1000;

export class EnergyAccount {
  readonly #meter: EnergyMeter;
  readonly #earlier: EnergyState | undefined;
  readonly #window: EnergyWindow;
  /** Measured separately: a difference of two totals would mix sources if the meter stopped in between. */
  #epochWindow: EnergyWindow;
  #isFirstEpoch = true;
  #total: EnergyFigure;
  #refreshed = performance.now();

  private constructor(
    meter: EnergyMeter,
    window: EnergyWindow,
    first: EnergyFigure,
    earlier: EnergyState | undefined,
  ) {
    this.#meter = meter;
    this.#window = window;
    this.#epochWindow = window;
    this.#earlier = earlier;
    this.#total = join(earlier?.total, first);
  }

  static async begin(meter: EnergyMeter, earlier: EnergyState | undefined): Promise<EnergyAccount> {
    const window = await meter.begin();
    return new EnergyAccount(meter, window, await window.read(), earlier);
  }

  /** As of the last reading. */
  get total(): EnergyFigure {
    return this.#total;
  }

  /** Reads the meter, unless that takes long and was done a moment ago. */
  async refresh(): Promise<void> {
    if (!this.#meter.isCheap && performance.now() - this.#refreshed < refreshMilliseconds) return;
    await this.read();
  }

  async read(): Promise<void> {
    this.#total = join(this.#earlier?.total, await this.#window.read());
    this.#refreshed = performance.now();
  }

  /** Ends the epoch and returns its energy; starts the next one. */
  async endEpoch(): Promise<EnergyFigure> {
    await this.read();
    const epoch = await this.#epoch();
    this.#epochWindow = await this.#meter.begin();
    this.#isFirstEpoch = false;
    return epoch;
  }

  /** `isInEpoch`: whether the running epoch has begun. */
  async state(isInEpoch: boolean): Promise<EnergyState> {
    await this.read();
    return { total: this.#total, epoch: isInEpoch ? await this.#epoch() : null };
  }

  async #epoch(): Promise<EnergyFigure> {
    const resumed = this.#isFirstEpoch ? this.#earlier?.epoch : null;
    return join(resumed ?? undefined, await this.#epochWindow.read());
  }
}

function join(earlier: EnergyFigure | undefined, now: EnergyFigure): EnergyFigure {
  return earlier === undefined ? now : sumOfIntervals(earlier, now);
}
