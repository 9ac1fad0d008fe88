/**
 * fit: the training loop. Each step (forward, loss, backward, optimizer, metrics) is one recorded Program; its scores
 * are read one step behind, so that the device's queue never runs dry, and their memory is given back at once.
 *
 * On a device that can be lost (WebGL) it takes snapshots, whose values travel to the host while training goes on, and
 * after a loss it goes on from the last one: to the same bits as if nothing had happened.
 */
import { backward } from "../autograd/backward.js";
import { DeviceLostError, NumericsError } from "../core/errors.js";
import type { WarmupProgress } from "../device/device.js";
import type { Follower } from "../device/recovery.js";
import { noGrad, type Tensor } from "../graph/tensor.js";
import { defaultGenerator } from "../ops/index.js";
import { clipGradNorm, LRScheduler } from "../optim/index.js";
import { type JitFunction, jit } from "../runtime/jit.js";
import { EnergyAccount, type EnergyState } from "./energy.js";
import { evaluator, packScores, readAndDispose, requirePair } from "./evaluate.js";
import { type Callback, type FitOptions, type FitReport, requireFitOptions, tellAll } from "./fit_options.js";
import { type EpochRecord, type FitState, ScoreSum } from "./history.js";
import { Recovery } from "./recovery.js";
import { Snapshots } from "./snapshots.js";

/**
 * Trains a model.
 *
 * @throws NumericsError naming the step if the loss is not finite; ArgumentError for options outside their domain;
 * what callbacks, the loader and the device throw, DeviceLostError if the device does not come back.
 * @example
 * const report = await fit({
 *   model, optimizer, train: loader, validation: testLoader, loss: crossEntropy, metrics: { accuracy },
 *   epochs: 10, stop: [patience({ metric: "accuracy", epochs: 3 })],
 * });
 * console.log(report.history.at(-1)?.validation?.metrics.accuracy);
 */
export async function fit(options: FitOptions): Promise<FitReport> {
  requireFitOptions(options);
  const { model, optimizer, schedule } = options;
  const wasTraining = model.training;
  const scheduler = schedule && new LRScheduler(optimizer, schedule);
  model.train();
  try {
    return await new Fit(options, scheduler).run();
  } finally {
    scheduler?.restore();
    model.train(wasTraining);
  }
}

type Validate = ReturnType<typeof evaluator>;

class Fit implements Follower {
  readonly #options: FitOptions;
  readonly #names: readonly string[];
  readonly #step: JitFunction<readonly [Tensor, Tensor], Tensor>;
  readonly #callbacks: readonly Callback[];
  readonly #recovery: Recovery | undefined;
  readonly #scheduler: LRScheduler | undefined;
  /** In the last step, of the first group. */
  #learningRate: number;
  #history: EpochRecord[] = [];
  #epoch = 1;
  #steps = 0;
  #sum: ScoreSum;
  /** Seconds of earlier runs. */
  #secondsBefore = 0;
  /** Seconds of earlier parts of the running epoch. */
  #epochSecondsBefore = 0;
  #start = performance.now();
  #epochStart = performance.now();
  /** The scores of the last step that was enqueued, on their way. */
  #inFlight: Promise<void> | undefined;
  #checkpoint: string | undefined;
  /** What the last checkpoint stands for. */
  #saved = { steps: -1, epoch: -1 };
  /** Whether the loader has handed out a batch of the running epoch. */
  #isInEpoch = false;
  #isWarmingUp = false;
  /** Callbacks that are told of shaders while these are compiled. */
  #toldWarmup: Promise<unknown> = Promise.resolve();
  readonly #snapshots: Snapshots | undefined;
  #energy: EnergyAccount | undefined;
  /** Of earlier runs. */
  #energyBefore: EnergyState | undefined;
  /** Samples and seconds behind `samplesPerSecond`. */
  readonly #speed = { samples: 0, seconds: 0 };

  constructor(options: FitOptions, scheduler: LRScheduler | undefined) {
    const { model, optimizer, loss, metrics = {}, gradClip, checkpoint } = options;
    const measures = Object.values(metrics);
    this.#options = options;
    this.#names = Object.keys(metrics);
    this.#callbacks = options.callbacks ?? [];
    this.#sum = new ScoreSum(measures.length);
    this.#scheduler = scheduler;
    this.#learningRate = optimizer.lr;
    const parameters = [...model.parameters()];
    this.#step = jit((input, target) => {
      const output = model.forward(input);
      const value = loss(output, target);
      const scores = noGrad(() => packScores(value, measures, output, target));
      backward(value);
      if (gradClip !== undefined) clipGradNorm(parameters, gradClip);
      optimizer.step();
      return scores;
    });
    const device = parameters[0]?.device.recovery;
    if (device !== undefined && options.snapshot !== false) {
      this.#snapshots = new Snapshots(device, options.snapshot ?? {}, this);
    }
    if (checkpoint !== undefined) {
      this.#recovery = new Recovery(checkpoint.directory, {
        model,
        optimizer,
        scheduler,
        loader: options.train,
        generators: options.generators ?? [defaultGenerator],
      });
    }
  }

  async run(): Promise<FitReport> {
    const { epochs, train, validation, checkpoint, energy: meter } = this.#options;
    try {
      await this.#recovery?.open();
      if (checkpoint?.resume) await this.#resume();
      else await this.#recovery?.requireEmpty();
      this.#energy = meter && (await EnergyAccount.begin(meter, this.#energyBefore));
      this.#start = performance.now();
      const validate = validation && evaluator(this.#options, this.#tellWarmup);
      await tellAll(this.#callbacks, "onStart", {
        epochs,
        stepsPerEpoch: train.length,
        state: this.#state(false),
      });
      await this.#snapshots?.begin(this.#options.model);
      const reason = await this.#trainThroughLosses(validate);
      await this.#energy?.read();
      return await this.#finish(reason ?? `all ${epochs} epochs are done`);
    } finally {
      this.#snapshots?.end();
      await this.#recovery?.close();
    }
  }

  async #trainThroughLosses(validate: Validate | undefined): Promise<string | undefined> {
    for (;;) {
      try {
        const reason = await this.#trainEpochs(validate);
        await this.#saveUnlessSaved();
        return reason;
      } catch (error) {
        if (!(error instanceof DeviceLostError) || this.#snapshots === undefined) throw error;
        this.#inFlight = undefined;
        await this.#snapshots.goBack(error, () => this.#steps);
        const [step, epoch] = [this.#steps, this.#epoch];
        await tellAll(this.#callbacks, "onRestore", { step, epoch });
      }
    }
  }

  /** Trains all epochs (undefined) or to a reason to stop before. */
  async #trainEpochs(validate: Validate | undefined): Promise<string | undefined> {
    const { epochs, validation } = this.#options;
    let reason = await this.#reasonToStop(this.#sum.samples === 0);
    while (reason === undefined && this.#epoch <= epochs) {
      reason = await this.#runEpoch();
      if (reason !== undefined) break;
      const scores = validation && (await validate?.(validation));
      await this.#toldWarmup;
      const record: EpochRecord = {
        epoch: this.#epoch,
        step: this.#steps,
        samples: this.#sum.samples,
        ...this.#sum.scores(this.#names),
        ...(scores && { validation: { loss: scores.loss, metrics: scores.metrics } }),
        learningRate: this.#learningRate,
        seconds: this.#epochSeconds(),
        ...(this.#energy && { energy: await this.#energy.endEpoch() }),
      };
      this.#history = [...this.#history, record];
      reason = await this.#reasonToStop(true);
      this.#epoch++;
      this.#sum = new ScoreSum(this.#names.length);
      this.#epochSecondsBefore = 0;
      await tellAll(this.#callbacks, "onEpoch", record);
      if (this.#isDue("everyEpochs", record.epoch)) await this.#save();
    }
    return reason;
  }

  /**
   * Where training stands, for a device that comes back; undefined while the scores of a step are on their way, or a
   * batch waits for its step.
   */
  remember(): (() => void) | undefined {
    if (this.#inFlight !== undefined || this.#isWarmingUp) return undefined;
    const { train } = this.#options;
    const loader = this.#isInEpoch ? train.state() : train.next();
    const { loss, metrics, samples } = this.#sum;
    const sum = { loss, metrics: [...metrics], samples };
    const [epoch, steps, history] = [this.#epoch, this.#steps, this.#history];
    const [learningRate, seconds] = [this.#learningRate, samples === 0 ? 0 : this.#epochSeconds()];
    return () => {
      this.#epoch = epoch;
      this.#steps = steps;
      this.#history = history;
      this.#learningRate = learningRate;
      this.#epochSecondsBefore = seconds;
      this.#sum = Object.assign(new ScoreSum(0), { ...sum, metrics: [...sum.metrics] });
      train.setState(loader);
    };
  }

  /** Trains to the end of the epoch (undefined) or to a reason to stop before it. */
  async #runEpoch(): Promise<string | undefined> {
    try {
      return await this.#runBatches();
    } finally {
      this.#isInEpoch = false;
    }
  }

  async #runBatches(): Promise<string | undefined> {
    const { train, optimizer } = this.#options;
    this.#epochStart = performance.now();
    let last = performance.now();
    let compiles = true;
    let reason: string | undefined;
    for await (const batch of train) {
      const [input, target] = requirePair(batch, "fit");
      this.#isInEpoch = true;
      await this.#warmUp(input, target);
      this.#learningRate = optimizer.lr;
      const previous = this.#inFlight;
      this.#steps++;
      this.#inFlight = this.#receive(this.#step(input, target), input.shape[0], previous);
      // Its error is thrown where it is awaited; if another error comes first, it must not count as unhandled.
      this.#inFlight.catch(() => {});
      this.#scheduler?.step();
      await previous;
      const now = performance.now();
      if (!compiles) {
        this.#speed.samples += input.shape[0];
        this.#speed.seconds += (now - last) / 1000;
      }
      compiles = false;
      if (this.#isDue("everySteps", this.#steps)) await this.#save();
      if (this.#snapshots?.isDue(this.#steps)) {
        await this.#settle();
        await this.#snapshots.take();
      }
      await this.#energy?.refresh();
      last = performance.now();
      reason = await this.#reasonToStop(false);
      if (reason !== undefined) break;
    }
    await this.#settle();
    return reason;
  }

  /** Lets the device compile what a step on such a batch needs, while everything else on this thread goes on. */
  async #warmUp(input: Tensor, target: Tensor): Promise<void> {
    this.#isWarmingUp = true;
    try {
      await this.#step.warmup([input, target], this.#tellWarmup);
      await this.#toldWarmup;
    } finally {
      this.#isWarmingUp = false;
    }
  }

  readonly #tellWarmup: WarmupProgress = (done, all) => {
    const told = Promise.all([this.#toldWarmup, tellAll(this.#callbacks, "onWarmup", { done, all })]);
    // Thrown where the warm-up has ended.
    told.catch(() => {});
    this.#toldWarmup = told;
  };

  /** Takes in the scores of the step that was just enqueued. */
  async #receive(result: Tensor, samples: number, previous: Promise<void> | undefined): Promise<void> {
    const step = this.#steps;
    const epoch = this.#epoch;
    const sum = this.#sum;
    const [loss, ...metricSums] = await readAndDispose(result);
    // Reads may end in another order than they were begun in.
    await previous;
    if (!Number.isFinite(loss)) {
      throw new NumericsError(`the loss is ${loss} at step ${step} (epoch ${epoch})`, {
        op: "fit",
        hint: "a lower learning rate, a warm-up or gradClip may help",
      });
    }
    sum.add(loss, metricSums, samples);
    const metrics = Object.fromEntries(this.#names.map((name, i) => [name, metricSums[i] / samples]));
    await tellAll(this.#callbacks, "onStep", { step, epoch, samples, loss, metrics, ...this.#spent() });
  }

  /** Waits until nothing is on its way. */
  async #settle(): Promise<void> {
    const inFlight = this.#inFlight;
    this.#inFlight = undefined;
    await inFlight;
  }

  async #reasonToStop(epochEnded: boolean): Promise<string | undefined> {
    if (this.#options.signal?.aborted) return "it was interrupted";
    const state = this.#state(epochEnded);
    for (const condition of this.#options.stop ?? []) {
      const reason = await condition(state);
      if (reason !== undefined) return reason;
    }
    return undefined;
  }

  #state(epochEnded: boolean): FitState {
    return {
      epoch: this.#epoch,
      step: this.#steps,
      samples: this.#sum.samples,
      seconds: this.#seconds(),
      ...this.#spent(),
      history: this.#history,
      epochEnded,
    };
  }

  #spent() {
    return this.#energy && { energy: this.#energy.total };
  }

  #seconds(): number {
    return this.#secondsBefore + (performance.now() - this.#start) / 1000;
  }

  #epochSeconds(): number {
    return this.#epochSecondsBefore + (performance.now() - this.#epochStart) / 1000;
  }

  #isDue(unit: "everySteps" | "everyEpochs", count: number): boolean {
    const options = this.#options.checkpoint;
    if (options === undefined) return false;
    const epochsByDefault = unit === "everyEpochs" && options.everySteps === undefined ? 1 : undefined;
    const every = options[unit] ?? epochsByDefault;
    return every !== undefined && count % every === 0;
  }

  async #saveUnlessSaved(): Promise<void> {
    const saved = this.#saved.steps === this.#steps && this.#saved.epoch === this.#epoch;
    if (this.#recovery !== undefined && !saved) await this.#save();
  }

  async #save(): Promise<void> {
    await this.#settle();
    const path = await this.#recovery!.save({
      epoch: this.#epoch,
      steps: this.#steps,
      seconds: this.#seconds(),
      epochSeconds: this.#sum.samples === 0 ? 0 : this.#epochSeconds(),
      sum: { loss: this.#sum.loss, metrics: this.#sum.metrics, samples: this.#sum.samples },
      learningRate: this.#learningRate,
      metricNames: this.#names,
      history: this.#history,
      ...(this.#energy && { energy: await this.#energy.state(this.#sum.samples > 0) }),
    });
    this.#saved = { steps: this.#steps, epoch: this.#epoch };
    this.#checkpoint = path;
    await tellAll(this.#callbacks, "onCheckpoint", { path, step: this.#steps });
  }

  async #resume(): Promise<void> {
    const found = await this.#recovery?.load(this.#names);
    if (found === undefined) return;
    const { progress, path, skipped } = found;
    this.#history = [...progress.history];
    this.#epoch = progress.epoch;
    this.#steps = progress.steps;
    this.#saved = { steps: progress.steps, epoch: progress.epoch };
    this.#learningRate = progress.learningRate;
    this.#checkpoint = path;
    this.#secondsBefore = progress.seconds;
    this.#epochSecondsBefore = progress.epochSeconds;
    this.#energyBefore = progress.energy;
    Object.assign(this.#sum, { ...progress.sum, metrics: [...progress.sum.metrics] });
    await tellAll(this.#callbacks, "onResume", { path, step: progress.steps, skipped });
  }

  async #finish(stoppedBecause: string): Promise<FitReport> {
    const { samples, seconds } = this.#speed;
    const report: FitReport = {
      history: this.#history,
      stoppedBecause,
      aborted: this.#options.signal?.aborted ?? false,
      steps: this.#steps,
      seconds: this.#seconds(),
      samplesPerSecond: seconds > 0 ? samples / seconds : 0,
      ...this.#spent(),
      checkpoint: this.#checkpoint,
    };
    await tellAll(this.#callbacks, "onEnd", report);
    return report;
  }
}
